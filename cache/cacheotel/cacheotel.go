// Package cacheotel shows a cache to OpenTelemetry: its numbers as metrics, and its loads as spans.
//
// Open tracer.go first for spans, metrics.go for counts, and durations.go for histograms.
//
// # Metrics
//
//	durations := cacheotel.NewDurations()
//	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(durations))
//	provider := metric.NewMeterProvider(metric.WithReader(reader))
//
//	users, err := cache.New(cache.Options[string, *User]{…})
//	registration, err := cacheotel.Register(provider, "users", users)
//	durations.Add("users", users)
//
// [Register] makes observable counters and gauges, whose names begin with snowfence.cache. and
// which have the attribute snowfence.cache.name. They are those of package cacheprom. [Durations]
// has two exponential histograms, snowfence.cache.load_duration with the attribute
// snowfence.cache.load.outcome, and snowfence.cache.wait_duration.
//
// All are read when the reader collects, and a load costs no more than without. That is why the
// histograms do not come from a meter: an instrument would have to be called for each load and each
// caller, while the courier counts durations anyway, in the buckets of scale 2. So they come from a
// producer, which a reader of the SDK takes when it is made. Of the SDK only the types of its data
// and what these need are linked (sdk/metric/metricdata, sdk/resource), not the rest of it.
//
// # Spans
//
//	tracer := cacheotel.NewTracer(otel.GetTracerProvider())
//	users, err := cache.New(cache.Options[string, *User]{
//		…,
//		Courier: []courier.Option{courier.WithName("users"), courier.WithTracer(tracer)},
//	})
//
// Each flight has a span, "load users", which begins before the fetch function and ends with the
// flight. It is a child of the span in the context of the caller that has started the flight, and
// what the fetch function starts is a child of it. That caller may leave, and its span end: the
// flight's goes on.
//
// A load serves many callers, and a span has one parent. So the callers that have joined are
// linked, both ways: the flight's span has links to theirs (100 at most), and each of these has a
// link to the flight's, which is added when the caller's wait is over. Where no tracer is set, all
// this costs nothing.
//
// The span has these attributes:
//
//	snowfence.cache.name          the courier's name: courier.WithName
//	snowfence.cache.load.outcome  value, answer, error, panic, goexit, timeout, cancelled, …
//	snowfence.cache.load.keys     for how many keys the function was called
//	snowfence.cache.load.joined   how many callers are linked
//	snowfence.cache.load.runs_on  true: the flight is over and its function runs on
//	snowfence.cache.load.key      only with WithKeys, and not for a batch
//	error.type                    the outcome, if that is a failure
//
// Its status is Error for failures, and not for answers such as cache.ErrNotFound, nor if the last
// caller has left or the cache was closed. Neither keys nor texts of errors, which may contain
// keys, are in spans unless you ask for them: [WithKeys], [WithErrorText].
//
// # In a cluster
//
// The tracer and package clusterotel work together. Give both to a cluster cache:
//
//	cluster.New(cluster.Options[*User]{
//		…,
//		Propagator: clusterotel.New(otel.GetTextMapPropagator()),
//		Cache:      cache.Options[string, *User]{Courier: […]courier.WithTracer(tracer)},
//	})
//
// On the node of the caller the flight's span covers the request to the key's owner. The propagator
// carries that span to the owner, so that the owner's flight, which calls Load, is its child: a
// trace shows caller, flight, owner's flight and what Load does. Callers on other nodes that have
// joined the owner's flight are linked to it.
package cacheotel

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/snowfence/snowfence/cache/internal/metrics"
)

// A Source is a *cache.Cache or *cache.Loading, or the Store of a *cluster.Cache.
type Source = metrics.Source

const (
	scope  = "github.com/snowfence/snowfence/cache/cacheotel"
	prefix = "snowfence.cache."
)

// The keys of attributes.
const (
	nameKey    = attribute.Key(prefix + "name")
	outcomeKey = attribute.Key(prefix + "load." + metrics.Outcome)
	keysKey    = attribute.Key(prefix + "load.keys")
	keyKey     = attribute.Key(prefix + "load.key")
	joinedKey  = attribute.Key(prefix + "load.joined")
	runsOnKey  = attribute.Key(prefix + "load.runs_on")
	linkKey    = attribute.Key(prefix + "link") // of links: "joined" caller, or the "load" it joined
	errorKey   = attribute.Key("error.type")
)

// Package registryprom exports the counters of a registry to Prometheus.
//
//	names, err := registry.Open(ctx, registry.Config{…})
//	prometheus.MustRegister(registryprom.New(names.Stats))
//
// The names of the metrics begin with snowfence_registry_. They are read at each scrape; no
// goroutine runs between scrapes. No metric has a name of the registry for a label.
//
// Watch these: members, as a node that sees too few is cut off; queue_age_seconds, which grows
// while changes can't be sent; syncing, of a node that does not catch up; conflicts_total with the
// outcome lost, for holders that had to stop; nodes_lost and rejoin_attempts_total, for nodes that
// are not found; silent_holders_total, for holders that hang; and disagreements_total, which stays
// 0 unless a resolver is wrong. The page docs/operations.md has an alert for each.
package registryprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snowfence/snowfence/internal/snapshotprom"
	"github.com/snowfence/snowfence/registry"
)

// MaxPartitions bounds the partitions that have series of their own, by the label partition. If
// there are more, only the worst value is shown, with the label "worst".
const MaxPartitions = 64

// New returns a collector for one registry. stats is usually its method Stats. The collector calls
// it at each scrape, possibly from several goroutines at the same time.
//
// A program with several registries tells them apart with prometheus.WrapRegistererWith.
func New(stats func() registry.Stats) prometheus.Collector {
	all := append(append(ownMetrics(), partitionMetrics()...), networkMetrics...)
	return snapshotprom.New(stats, nil, all...)
}

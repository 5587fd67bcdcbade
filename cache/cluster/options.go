package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/registry"
)

// What the zero values of Options stand for.
const (
	DefaultName            = "cache"
	DefaultCopyTTL         = time.Second
	DefaultSlots           = 1024
	DefaultIdleRelease     = 30 * time.Second
	DefaultPeerTimeout     = 500 * time.Millisecond
	DefaultMaxLocalLoads   = 64
	DefaultMaxPeerRequests = 1024
	DefaultMaxKey          = 4 << 10
	DefaultMaxValue        = 16 << 20
	DefaultDeleteLog       = 64 << 10
)

// MinSharedKey is how many bytes a key of Options.SharedKeys has at least.
const MinSharedKey = 32

// Options configure a Cache. Registry, URL and Load are needed; the zero values of the others are defaults.
//
// Those marked "of the cluster" must be the same on all nodes. A node that has others is not asked, and its requests are
// refused; Stats and the log say what differs.
type Options[V any] struct {
	// Registry is this node's registry. The cache uses it and does not close it. Close the cache first.
	Registry *registry.Registry

	// URL is where the other nodes reach Handler: the absolute http or https URL that it is mounted under, such as
	// "http://10.0.0.7:8080/_cache".
	URL string

	// Load gets a value from where it comes from. It runs in a courier's flight: once
	// for all who wait for the key, on this node and on the others; see
	// cache.Cache.Fetch about its context, and cache.StoreFor, which it may call. A
	// value is shared by all who get it: nobody may change it.
	Load func(ctx context.Context, key string) (V, error)

	// Name tells this cache from others of the same cluster: 1 to 64 letters, digits, dots, dashes and underscores.
	// "cache" by default. Of the cluster.
	Name string

	// Codec turns values into bytes and back, for the way between nodes. By default []byte and string are sent as
	// they are, anything else as JSON. Its name is of the cluster.
	Codec Codec[V]

	// Cache configures the entries that this node owns: how many, how long they live, how Load runs. OnEviction is
	// called for these alone, not for copies. An entry that Load did not give a shorter life lives for Cache.TTL.
	Cache cache.Options[string, V]

	// CopyTTL is how long this node keeps a copy of a value that another node owns, 1 s by default, and never longer than
	// the owner keeps it. It bounds how often the owner of a hot key is asked: once per node and CopyTTL.
	// Negative: copies are not kept.
	CopyTTL time.Duration

	// CopyCapacity is how many copies are kept at most, an eighth of Cache.Capacity by default (and 1,250 where that
	// is not set). CopyWeight bounds the sum of their weights where Cache.Weigher is set: an eighth of Cache.MaxWeight by
	// default.
	CopyCapacity int
	CopyWeight   uint64

	// Ownership says what one name of the registry stands for: ByKey, the default, BySlot or ByRing. Of the cluster.
	Ownership Ownership

	// Slots is how many slots the keys are spread over BySlot, 1024 by default, at most 65,536. Of the cluster.
	Slots int

	// IdleRelease is how long the name of a key that has left the cache is kept for, in case it comes back; 30 s by default.
	// Only ByKey.
	IdleRelease time.Duration

	// PeerTimeout is how long an owner that is asked may be silent, 500 ms by default: so long does a caller wait for
	// an owner that has died, hangs or can't be reached, before this node loads the value itself. An owner that is at
	// work says so several times in PeerTimeout, so a load may take longer than that.
	PeerTimeout time.Duration

	// MaxLocalLoads bounds how many loads this node runs at a time for keys that others own but don't deliver; 64 by
	// default. Past it a caller gets an error that is ErrOverloaded, at once.
	MaxLocalLoads int

	// MaxPeerRequests bounds how many requests of other nodes are served at a time, 1024 by default. Past it they are told
	// that this node is busy, and load themselves.
	MaxPeerRequests int

	// MaxKey and MaxValue bound the size of a key and of an encoded value that are sent or accepted between nodes, in bytes:
	// 4 KiB and 16 MiB by default. A longer key is an error of Fetch. A longer value is kept by its owner, but every
	// node has to load it for itself.
	MaxKey   int
	MaxValue int

	// DeleteLog is how many deletes are remembered for nodes that missed them, 65,536 by default. A node that missed
	// more than that clears its cache when it returns.
	DeleteLog int

	// SharedKeys authenticate the requests of nodes and the answers to them, by HMAC-SHA-256: at least MinSharedKey bytes
	// each. The first signs, all are accepted, so that keys can be rotated. They hide nothing: use TLS for that. Without
	// SharedKeys, TLS and Authorize, whoever reaches Handler can read the cache and delete from it.
	SharedKeys [][]byte

	// TLS is how this node connects to https URLs of others, with the certificate that it shows them. If it is set, Handler
	// refuses requests that came without a certificate which the server has verified (tls.RequireAndVerifyClientCert).
	TLS *tls.Config

	// Authorize, if set, is called by Handler for each request of another node. An error refuses the request.
	Authorize func(*http.Request) error

	// Transport replaces the way in which other nodes are reached. By default it is HTTP/2, over TLS or, for http URLs,
	// without: the servers must have it enabled, see Protocols. A connection on which nothing arrives is pinged, and closed if that
	// is not answered for a second, or for PeerTimeout if that is longer.
	Transport http.RoundTripper

	// Propagator carries traces from node to node. By default the W3C headers that WithTrace put into a context are
	// passed on, see TraceFrom.
	Propagator Propagator

	// Errors are errors of Load that errors.Is shall find in what other nodes get: each with a short name of
	// letters, digits, dots, dashes and underscores, which is the same on all nodes. An error that is none of these reaches
	// other nodes as text, in a *LoadError.
	Errors map[string]error

	// Logger gets what somebody should look into (Warn), what happens to the cluster (Info) and single requests that
	// failed (Debug). nil: nothing is logged.
	Logger *slog.Logger
}

// An OptionError says which field of Options had which value, and what was wanted.
type OptionError struct {
	Field string
	Value any
	Want  string
}

// Error describes the OptionError in one line.
func (e *OptionError) Error() string {
	return fmt.Sprintf("cluster: Options.%s: %v: want %s", e.Field, e.Value, e.Want)
}

func (o Options[V]) withDefaults() Options[V] {
	setIfZero(&o.Name, DefaultName)
	setIfZero(&o.CopyTTL, DefaultCopyTTL)
	setIfZero(&o.Slots, DefaultSlots)
	setIfZero(&o.IdleRelease, DefaultIdleRelease)
	setIfZero(&o.PeerTimeout, DefaultPeerTimeout)
	setIfZero(&o.MaxLocalLoads, DefaultMaxLocalLoads)
	setIfZero(&o.MaxPeerRequests, DefaultMaxPeerRequests)
	setIfZero(&o.MaxKey, DefaultMaxKey)
	setIfZero(&o.MaxValue, DefaultMaxValue)
	setIfZero(&o.DeleteLog, DefaultDeleteLog)
	if o.Cache.Capacity == 0 && o.Cache.MaxWeight == 0 {
		o.Cache.Capacity = cache.DefaultCapacity
	}
	if o.Cache.Capacity > 0 {
		setIfZero(&o.CopyCapacity, max(1, o.Cache.Capacity/8))
	}
	if o.Cache.MaxWeight > 0 {
		setIfZero(&o.CopyWeight, max(1, o.Cache.MaxWeight/8))
	}
	if o.Codec == nil {
		o.Codec = defaultCodec[V]()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setIfZero[T comparable](p *T, otherwise T) {
	if *p == *new(T) {
		*p = otherwise
	}
}

// validate is called after withDefaults.
func (o *Options[V]) validate() error {
	bad := func(field string, value any, want string) error { return &OptionError{field, value, want} }
	switch {
	case o.Registry == nil:
		return bad("Registry", "nil", "the registry of this node")
	case o.Load == nil:
		return bad("Load", "nil", "a function")
	case !isName(o.Name):
		return bad("Name", fmt.Sprintf("%q", o.Name), "1 to 64 letters, digits, dots, dashes and underscores")
	case o.Ownership > ByRing:
		return bad("Ownership", uint8(o.Ownership), "ByKey, BySlot or ByRing")
	case o.Slots < 1 || o.Slots > 1<<16:
		return bad("Slots", o.Slots, "1 to 65536")
	case o.IdleRelease < 0:
		return bad("IdleRelease", o.IdleRelease, "0 (the default) or more")
	case o.PeerTimeout < time.Millisecond:
		return bad("PeerTimeout", o.PeerTimeout, "at least 1ms")
	case o.CopyCapacity < 0:
		return bad("CopyCapacity", o.CopyCapacity, "0 (the default) or more")
	case o.CopyWeight > 0 && o.Cache.Weigher == nil:
		return bad("CopyWeight", o.CopyWeight, "0, since Cache.Weigher is not set")
	case o.MaxLocalLoads < 0:
		return bad("MaxLocalLoads", o.MaxLocalLoads, "0 (the default) or more")
	case o.MaxPeerRequests < 0:
		return bad("MaxPeerRequests", o.MaxPeerRequests, "0 (the default) or more")
	case o.MaxKey < 1 || o.MaxKey > 1<<20:
		return bad("MaxKey", o.MaxKey, "1 to 1048576 bytes")
	case o.MaxValue < 1 || o.MaxValue > 1<<30:
		return bad("MaxValue", o.MaxValue, "1 to 1073741824 bytes")
	case o.DeleteLog < 1 || o.DeleteLog > 1<<24:
		return bad("DeleteLog", o.DeleteLog, "1 to 16777216")
	}
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return bad("URL", fmt.Sprintf("%q", o.URL), `an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`)
	}
	for i, k := range o.SharedKeys {
		if len(k) < MinSharedKey {
			return bad(fmt.Sprintf("SharedKeys[%d]", i), fmt.Sprintf("%d bytes", len(k)), fmt.Sprintf("at least %d", MinSharedKey))
		}
	}
	for name, err := range o.Errors {
		if !isName(name) || err == nil {
			return bad(fmt.Sprintf("Errors[%q]", name), err, "an error under a name of 1 to 64 letters, digits, dots, dashes and underscores")
		}
	}
	return nil
}

// isName reports whether s can be the name of a cache or of an error.
func isName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

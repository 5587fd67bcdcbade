package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/internal/codec"
	"github.com/snowfence/snowfence/registry"
)

// The values that zero values of Options stand for.
const (
	DefaultName            = "cache"
	DefaultCopyTTL         = time.Second
	DefaultSlots           = 1024
	DefaultIdleRelease     = 30 * time.Second
	DefaultPeerTimeout     = 500 * time.Millisecond
	DefaultQuarantine      = 30 * time.Second
	DefaultMaxLocalLoads   = 64
	DefaultMaxPeerRequests = 1024
	DefaultMaxKey          = 4 << 10
	DefaultMaxValue        = 16 << 20
	DefaultDeleteLog       = 64 << 10
)

// MinSharedKey is the minimum length of a key of Options.SharedKeys, in bytes.
const MinSharedKey = 32

// Options configure a Cache. Registry, URL and Load are needed; the zero values of the others are
// defaults.
//
// Those marked "of the cluster" must be the same on all nodes. A node that has another value is not
// asked, and its requests are refused; Stats and the log say what differs.
type Options[V any] struct {
	// Registry is this node's registry. The cache uses it and does not close it. Close the cache
	// first.
	Registry *registry.Registry

	// URL is where the other nodes reach Handler: the absolute http or https URL that it is mounted
	// under, such as "http://10.0.0.7:8080/_cache". It must lead to this node alone. With
	// SharedKeys or TLS it is https.
	URL string

	// Load gets a value from its origin. It runs in a flight of package courier, once for all who wait
	// for the key, on this node and on the others. cache.Cache.Fetch says which context it gets. It
	// may call cache.StoreFor. All callers share the value, so nobody may change it.
	Load func(ctx context.Context, key string) (V, error)

	// LoadMany gets the values of many keys at once, for FetchMany. Keys that have no record are
	// missing from its map. It runs in a flight of all its keys. If some of them fail, it may return
	// the values of the others together with a *cache.ManyError[string]; any other error is the error
	// of all keys. cache.StoreFor with its context sets the TTL of all values. Keys that it was not
	// asked for are ignored. Cache.MaxBatch bounds how many keys it gets at once. Without LoadMany,
	// FetchMany calls Load for each key.
	LoadMany func(ctx context.Context, keys []string) (map[string]V, error)

	// Name distinguishes the caches of a cluster: 1 to 64 letters, digits, dots, dashes and
	// underscores. The default is "cache", so a second cache over one registry needs a Name. Of the
	// cluster.
	Name string

	// Codec turns values into bytes and back, for the way between nodes. By default []byte and string
	// are sent as they are, and all other types as JSON, unless JSON gives back none of their values:
	// an interface, and a struct without exported fields, need a Codec. The codec's name is of the
	// cluster.
	Codec Codec[V]

	// Cache configures the entries, own ones and copies: how many are kept, how long they live, how
	// Load runs. OnEviction is called for both, so for one key on several nodes. An entry lives for
	// Cache.TTL unless Load gave it a shorter life. With RefreshAt, a copy that is in use is refreshed
	// from its owner. In Cache.Courier, limits on functions are about Load, and not about asking other
	// nodes; limits on callers are about both. A SecondLevel is asked by the owner of a key alone, so
	// that a new owner finds what the old one had. It should be the same on all nodes; notices of its
	// Storage are not used, since Delete reaches all nodes anyway.
	Cache cache.Options[string, V]

	// CopyTTL is how long this node keeps a copy of a value that another node owns, 1 s by default,
	// and never longer than the owner keeps it. So the owner of a hot key is asked once per node and
	// CopyTTL. If it is negative, copies are not kept.
	CopyTTL time.Duration

	// CopyCapacity is how many of the entries may be copies: an eighth of Cache.Capacity by default,
	// and 1,250 without Cache.Capacity. The oldest copy goes first. CopyWeight bounds the sum of their
	// weights if Cache.Weigher is set: an eighth of Cache.MaxWeight by default.
	CopyCapacity int
	CopyWeight   uint64

	// Ownership says what one name of the registry stands for: BySlot, the default, ByKey or
	// ByRing. Of the cluster.
	Ownership Ownership

	// Slots is how many slots the keys hash to with BySlot: 1,024 by default, at most 65,536. Of the
	// cluster.
	Slots int

	// IdleRelease is how long a key that has left the cache keeps its name, in case it comes back: 30
	// s by default. It is for ByKey alone.
	IdleRelease time.Duration

	// PeerTimeout is how long an owner that is asked may be silent: 500 ms by default. So it is how
	// long a caller waits for an owner that has died, hangs or can't be reached, before this node
	// loads the value itself. An owner that is at work sends life signs, four in each PeerTimeout, so
	// a load may take longer than that.
	PeerTimeout time.Duration

	// MaxLocalLoads bounds the loads that this node runs at a time for keys whose owners do not
	// deliver: 64 by default. Further ones wait for their turn, for as long as their callers wait. A
	// load that waits for other keys does not count meanwhile.
	MaxLocalLoads int

	// Quarantine is how long no node loads a key after two have died while they loaded it: 30 s by
	// default. It doubles with each further death, up to 32 times. See the package's comment.
	Quarantine time.Duration

	// MaxPeerRequests bounds the requests of other nodes that are served at a time: 1,024 by default.
	// Further ones are answered that this node is busy, and their nodes load the keys themselves. A
	// node sends at most 128 at a time to each peer. Messages about deletes have a limit of their own,
	// which is as large.
	MaxPeerRequests int

	// MaxKey and MaxValue bound the size of a key and of an encoded value that are sent or accepted
	// between nodes, in bytes: 4 KiB and 16 MiB by default. Fetch of a longer key is an error. A
	// larger value is kept by its owner, but every other node has to load it itself. They had best be
	// the same on all nodes: each node refuses what is above its own bounds.
	MaxKey   int
	MaxValue int

	// DeleteLog bounds the deletes that are remembered for nodes that lack them: 65,536 by default,
	// and three quarters of that for nodes that have vanished. A node that missed more clears its
	// cache when it returns.
	DeleteLog int

	// SharedKeys, of at least MinSharedKey random bytes each, give all nodes of the cluster an
	// identity for TLS and encrypt their traffic. The server of Handler must have the configuration of
	// SharedKeyTLS. A node shows the identity of the first key and accepts those of all. To change a
	// key, add the new one as the second everywhere, then make it the first, then drop the old one.
	// Without SharedKeys, TLS and Authorize, whoever reaches Handler can read the cache and delete
	// from it, and whoever can register in the registry can serve forged values.
	SharedKeys [][]byte

	// TLS configures how this node connects to the https URLs of others, and the certificate that it
	// shows them. If it is set, Handler refuses requests without a certificate that the server has
	// verified (tls.RequireAndVerifyClientCert). It can't be set together with SharedKeys.
	TLS *tls.Config

	// Authorize, if set, is called by Handler for each request of another node before anything else.
	// If it returns an error, the request is refused.
	Authorize func(*http.Request) error

	// Transport replaces the transport to other nodes, which is HTTP/1.1 with up to 128 connections to
	// each node. With SharedKeys it must connect as SharedKeyTLS says.
	Transport http.RoundTripper

	// Propagator carries traces from node to node. By default the W3C headers are passed on that
	// WithTrace put into a context; see TraceFrom.
	Propagator Propagator

	// Errors are the errors of Load that errors.Is finds on other nodes as well. Each has a short name
	// of letters, digits, dots, dashes and underscores, which is the same on all nodes. Any other
	// error reaches other nodes as text, in a *LoadError.
	Errors map[string]error

	// Logger gets what somebody should look into (Warn), what happens in the cluster (Info) and
	// single requests that failed (Debug). It is Cache.Logger, too, unless that is set. If it is
	// nil, nothing is logged.
	Logger *slog.Logger
}

// An OptionError says which field of Options had which value, and what values it may have.
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
	o.Name = cmp.Or(o.Name, DefaultName)
	o.CopyTTL = cmp.Or(o.CopyTTL, DefaultCopyTTL)
	o.Slots = cmp.Or(o.Slots, DefaultSlots)
	o.IdleRelease = cmp.Or(o.IdleRelease, DefaultIdleRelease)
	o.PeerTimeout = cmp.Or(o.PeerTimeout, DefaultPeerTimeout)
	o.Quarantine = cmp.Or(o.Quarantine, DefaultQuarantine)
	o.MaxLocalLoads = cmp.Or(o.MaxLocalLoads, DefaultMaxLocalLoads)
	o.MaxPeerRequests = cmp.Or(o.MaxPeerRequests, DefaultMaxPeerRequests)
	o.MaxKey = cmp.Or(o.MaxKey, DefaultMaxKey)
	o.MaxValue = cmp.Or(o.MaxValue, DefaultMaxValue)
	o.DeleteLog = cmp.Or(o.DeleteLog, DefaultDeleteLog)
	if o.Cache.Capacity == 0 && o.Cache.MaxWeight == 0 {
		o.Cache.Capacity = cache.DefaultCapacity
	}
	if o.Cache.Capacity > 0 {
		o.CopyCapacity = cmp.Or(o.CopyCapacity, max(1, o.Cache.Capacity/8))
	}
	if o.Cache.MaxWeight > 0 {
		o.CopyWeight = cmp.Or(o.CopyWeight, max(1, o.Cache.MaxWeight/8))
	}
	o.Codec = codec.Or[V](o.Codec)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate returns an *OptionError for the first field that has a bad value, if any. It is called
// after withDefaults.
func (o *Options[V]) validate() error {
	bad := func(field string, value any, want string) error { return &OptionError{field, value, want} }
	unfit := codec.Unfit[V](o.Codec)
	switch {
	case unfit != "":
		return bad("Codec", "json", "another one: "+unfit)
	case o.Registry == nil:
		return bad("Registry", "nil", "the registry of this node")
	case o.Load == nil:
		return bad("Load", "nil", "a function")
	case o.Cache.LoadMany != nil:
		return bad("Cache.LoadMany", "a function", "nil: set Options.LoadMany")
	case !isName(o.Name):
		return bad("Name", fmt.Sprintf("%q", o.Name),
			"1 to 64 letters, digits, dots, dashes and underscores")
	case o.Ownership > ByRing:
		return bad("Ownership", uint8(o.Ownership), "BySlot, ByKey or ByRing")
	case o.Slots < 1 || o.Slots > 1<<16:
		return bad("Slots", o.Slots, "1 to 65536")
	case o.IdleRelease < 0:
		return bad("IdleRelease", o.IdleRelease, "0 (the default) or more")
	case o.PeerTimeout < time.Millisecond:
		return bad("PeerTimeout", o.PeerTimeout, "at least 1ms")
	case o.Quarantine < 0:
		return bad("Quarantine", o.Quarantine, "0 (the default) or more")
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
	if err := checkSharedKeys(o.SharedKeys); err != nil {
		return err
	}
	if len(o.SharedKeys) > 0 && o.TLS != nil {
		return bad("TLS", "a configuration",
			"nil, since SharedKeys are set: they make the configuration of TLS")
	}
	if want := o.wantURL(); want != "" {
		return bad("URL", fmt.Sprintf("%q", o.URL), want)
	}
	for name, err := range o.Errors {
		if !isName(name) || err == nil {
			return bad(fmt.Sprintf("Errors[%q]", name), err,
				"an error under a name of 1 to 64 letters, digits, dots, dashes and underscores")
		}
	}
	return nil
}

// wantURL returns what URL must be, or "" if it is right.
func (o *Options[V]) wantURL() string {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return `an absolute http or https URL without query, such as "http://10.0.0.7:8080/_cache"`
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case !peer.IsCleanPath(strings.TrimRight(u.EscapedPath(), "/")):
		return "a path without escapes, empty elements and dots, since the handler takes no other"
	case u.Hostname() == "" || err == nil && ip.IsUnspecified():
		return "the host by which other nodes reach this one"
	case u.Port() != "" && !isPort(u.Port()):
		return "the port that the server listens at"
	case u.Scheme == "http" && len(o.SharedKeys) > 0:
		return "an https URL, since SharedKeys are set: serve Handler with SharedKeyTLS"
	case u.Scheme == "http" && o.TLS != nil:
		return "an https URL, since TLS is set"
	}
	return ""
}

// isPort reports whether s is the number of a port that a server can listen at.
func isPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

// isName reports whether s can be the name of a cache or of an error.
func isName(s string) bool { return len(s) <= 64 && peer.IsWord(s) }

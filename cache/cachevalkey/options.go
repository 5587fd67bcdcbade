package cachevalkey

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"
)

// The defaults of Options.
const (
	DefaultPrefix   = "snowfence"
	DefaultLeaseFor = time.Minute
	DefaultLogSize  = 4096
)

// The defaults of fields of Options.Client, where they differ from those of package valkey. They
// bound how long a connection that has died without a sign goes unnoticed.
const (
	defaultDialTimeout      = 2 * time.Second // Dialer.Timeout
	defaultConnWriteTimeout = 3 * time.Second // ConnWriteTimeout
	defaultRedirections     = 8               // ClusterOption.MaxMovedRedirections
)

// Options are the options of a Storage.
type Options struct {
	// Client says where the server is and how to connect to it: InitAddress, Username, Password,
	// TLSConfig, SelectDB, Sentinel and so on. valkey.ParseURL makes one from a URL. Cluster mode is
	// detected. InitAddress must have one address, or several of a cluster or of sentinels.
	//
	// Dialer.Timeout is 2 s by default here, and ConnWriteTimeout 3 s. The Storage does not retry:
	// DisableRetry is always set. OnInvalidations, ClientTrackingOptions, ReplicaOnly,
	// SendToReplicas and DisableAutoPipelining must not be set.
	Client valkey.ClientOption

	// Prefix begins the names of all keys on the server. Caches of different data that share a
	// server need different ones; the processes that share data need the same. It is 1 to 128 bytes
	// without braces. The default is DefaultPrefix.
	Prefix string

	// LeaseFor is how long a fence lives that Read grants for a key without a record. A load must
	// end within that time, or else its result is not stored. 0 means DefaultLeaseFor, which is
	// twice the default time-out of a load.
	LeaseFor time.Duration

	// LogSize bounds the log of tags, and the log of what was deleted, each in entries. A process
	// that lags behind by more learns that it has missed something, and not what. 0 means
	// DefaultLogSize.
	LogSize int

	// Logger gets the beginning (Warn) and the end (Info) of a time in which Watch can't read what
	// others delete. If it is nil, nothing is logged.
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
	return fmt.Sprintf("cachevalkey: Options.%s: %v: want %s", e.Field, e.Value, e.Want)
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	o.LeaseFor = cmp.Or(o.LeaseFor, DefaultLeaseFor)
	o.LogSize = cmp.Or(o.LogSize, DefaultLogSize)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &o.Client
	c.InitAddress = slices.Clone(c.InitAddress) // ShuffleInit changes it
	c.Dialer.Timeout = cmp.Or(c.Dialer.Timeout, defaultDialTimeout)
	c.ConnWriteTimeout = cmp.Or(c.ConnWriteTimeout, defaultConnWriteTimeout)
	c.ClusterOption.MaxMovedRedirections = cmp.Or(
		c.ClusterOption.MaxMovedRedirections, defaultRedirections)
	c.BlockingPipeline = cmp.Or(c.BlockingPipeline, -1) // no connection of its own for a large batch
	c.DisableRetry = true                               // the cache decides what is worth a retry
	c.AlwaysPipelining = true                           // a call that ends early costs no connection
	c.DisableCache = true                               // Watch has a connection with tracking
	return o
}

// validate returns an *OptionError for the first field that has a bad value, if any. It is called
// after withDefaults.
func (o Options) validate() error {
	bad := func(field string, value any, want string) error { return &OptionError{field, value, want} }
	c := &o.Client
	switch {
	case len(c.InitAddress) == 0 || slices.ContainsFunc(c.InitAddress, o.isBadAddress):
		return bad("Client.InitAddress", fmt.Sprintf("%q", c.InitAddress),
			"host:port of the server; for a URL use valkey.ParseURL")
	case c.OnInvalidations != nil:
		return bad("Client.OnInvalidations", "a function", "nil: see Storage.Watch")
	case c.ClientTrackingOptions != nil:
		return bad("Client.ClientTrackingOptions", c.ClientTrackingOptions, "nil: see Storage.Watch")
	case c.ReplicaOnly:
		return bad("Client.ReplicaOnly", true, "false, since a read places a lease")
	case c.SendToReplicas != nil:
		return bad("Client.SendToReplicas", "a function", "nil, since a read places a lease")
	case c.DisableAutoPipelining:
		return bad("Client.DisableAutoPipelining", true, "false")
	case len(o.Prefix) > 128 || strings.ContainsAny(o.Prefix, "{}"):
		return bad("Prefix", fmt.Sprintf("%q", o.Prefix), "1 to 128 bytes without { and }")
	case o.LeaseFor < time.Millisecond:
		return bad("LeaseFor", o.LeaseFor, "at least 1ms")
	case o.LogSize < 2 || o.LogSize > 1<<20:
		return bad("LogSize", o.LogSize, "2 to 1048576")
	}
	return nil
}

// isBadAddress reports whether no server can be at that address. A dial function of the user may
// have addresses of its own.
func (o Options) isBadAddress(address string) bool {
	if o.Client.DialCtxFn != nil || o.Client.DialFn != nil {
		return address == ""
	}
	_, port, err := net.SplitHostPort(address)
	return err != nil || port == "" || strings.Contains(address, "/")
}

package cache

import (
	"context"
	"math"
	"time"
)

// Forever is the TTL of an entry that does not expire.
const Forever time.Duration = math.MaxInt64

// StoreFor sets the TTL of the result of the load in ctx, instead of Options.TTL. A fetch
// function calls it with its context, for example with the max-age of an HTTP response. In
// a batch (see FetchMany) it sets the TTL of all values.
//
// If ttl is 0 or less, the callers that wait get the result, but it is not stored. The value that
// is stored for the key, fresh or stale, is removed, since it is outdated. [ErrNotFound] is not
// remembered then; otherwise it is remembered for ttl at most. With [Forever] the result does not
// expire. Options.TTLJitter applies as usual. The last call before the function returns counts.
// StoreFor reports whether ctx belongs to a load; if it does not, StoreFor does nothing. It does
// not block, and is safe for concurrent use.
func StoreFor(ctx context.Context, ttl time.Duration) bool {
	l, ok := ctx.Value(loadKey{}).(*loadState)
	if ok {
		l.ttl.Store(int64(ttl))
	}
	return ok
}

// StoreTTL returns the TTL that the result of the load in ctx has so far: the last ttl
// given to [StoreFor], or else Options.TTL. [Forever] means that the result does not
// expire, and 0 or less that it is not stored. ok is false if ctx belongs to no load.
func StoreTTL(ctx context.Context) (ttl time.Duration, ok bool) {
	l, ok := ctx.Value(loadKey{}).(*loadState)
	if !ok {
		return 0, false
	}
	return time.Duration(l.ttl.Load()), true
}

package peer

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A Try carries the record to the node, and a SuspectError carries one back, for one key and among
// many.
func TestTry(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			no := &SuspectError{Record: []byte("what is known there")}
			n := connect(t, p, configA(), configB(), backend{
				fetch: fails(no),
				try: func(_ context.Context, from, key string, after, record []byte) (Value, error) {
					assert.Equal(t, "a", from)
					assert.Equal(t, "deletes", string(after))
					assert.Equal(t, "what is known here", string(record))
					if key == "quarantined" {
						return Value{}, no
					}
					return Value{Data: []byte(key), Keep: time.Minute}, nil
				},
			})
			deletes, record := []byte("deletes"), []byte("what is known here")
			v, err := n.client.Try(t.Context(), n.to, "k", deletes, record)
			require.NoError(t, err)
			require.Equal(t, "k", string(v.Data))
			_, err = n.client.Try(t.Context(), n.to, "quarantined", deletes, record)
			want := &SuspectError{Node: "b", Record: no.Record}
			require.Equal(t, want, err)
			_, err = n.client.Fetch(t.Context(), n.to, "k", nil)
			require.Equal(t, want, err)
			for _, o := range n.client.FetchMany(t.Context(), n.to, []Ask{{Key: "k"}, {Key: "l"}}) {
				require.Equal(t, want, o.Err)
			}
		})
	}
}

// The record of a key of the maximum length arrives, too.
func TestLongRecord(t *testing.T) {
	a, b := configA(), configB()
	a.MaxKey, b.MaxKey = 64<<10, 64<<10
	no := &SuspectError{Record: make([]byte, 2*64<<10)}
	n := connect(t, http1, a, b, backend{fetch: fails(no)})
	_, err := n.client.Fetch(t.Context(), n.to, "k", nil)
	many := n.client.FetchMany(t.Context(), n.to, []Ask{{Key: "k"}})
	for _, err := range []error{err, many[0].Err} {
		var got *SuspectError
		require.ErrorAs(t, err, &got)
		require.Len(t, got.Record, len(no.Record))
	}
}

// A connection that breaks while a request is under way is Lost, whether or not it was used before;
// a refused connection is NotListening.
func TestLost(t *testing.T) {
	var abort atomic.Bool
	abort.Store(true)
	fetch := func(ctx context.Context, from, key string, after []byte) (Value, error) {
		if abort.Load() {
			panic(http.ErrAbortHandler)
		}
		return echo(ctx, from, key, after)
	}
	n := connect(t, http1, configA(), configB(), backend{fetch: fetch})
	_, err := n.client.Fetch(t.Context(), n.to, "k", nil)
	unavailable(t, err, Lost)
	abort.Store(false)
	_, err = n.client.Fetch(t.Context(), n.to, "k", nil)
	require.NoError(t, err)
	abort.Store(true)
	_, err = n.client.Fetch(t.Context(), n.to, "k", nil)
	unavailable(t, err, Lost)
}

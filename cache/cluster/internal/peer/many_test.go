package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// asksOf makes asks for n keys of a few digits each.
func asksOf(n int) []Ask {
	asks := make([]Ask, n)
	for i := range asks {
		asks[i].Key = fmt.Sprint("key ", i)
	}
	return asks
}

// connectMany connects two nodes that ask for many keys.
func connectMany(tb testing.TB, many func(context.Context, []Ask) []Outcome) *pair {
	tb.Helper()
	b := backend{many: func(ctx context.Context, _ string, asks []Ask) []Outcome {
		return many(ctx, asks)
	}}
	return connect(tb, http1, configA(), configB(), b)
}

// An asker gets for each key what a single Fetch gets for it.
func TestFetchMany(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			withKeys(t, func(t *testing.T, d *Identity) {
				a, b := configA(), configB()
				a.Identity, b.Identity = d, d
				names := map[string]error{"not-found": errNotFound}
				a.Errors, b.Errors = names, names
				b.MaxValue = 1000
				fetch := func(
					_ context.Context, from, key string, after []byte,
				) (Value, error) {
					switch key {
					case "for ever":
						return Value{Data: []byte(key), Keep: -1}, nil
					case "not kept":
						return Value{}, nil
					case "misplaced":
						return Value{}, &MisplacedError{Owner: "c"}
					case "fails":
						return Value{}, fmt.Errorf("row 7: %w", errNotFound)
					case "panics":
						return Value{}, &courier.PanicError{Value: "boom", Stack: []byte("stack")}
					case "busy":
						return Value{}, courier.ErrOverloaded
					case "closing":
						return Value{}, ErrClosing
					case "large":
						return Value{Data: make([]byte, 1001)}, nil
					}
					return Value{Data: []byte(from + " " + key + " " + string(after)), Keep: 7}, nil
				}
				n := connect(t, p, a, b, backend{fetch: fetch})
				asks := []Ask{
					{"k", []byte("ids")}, {"for ever", nil}, {"not kept", nil}, {"misplaced", nil},
					{"fails", nil}, {"panics", nil}, {"busy", nil}, {"closing", nil}, {"large", nil},
					{"", []byte("ids")}, {"k", nil},
				}
				got := n.client.FetchMany(t.Context(), n.to, asks)
				require.Len(t, got, len(asks))
				refused := n.server.Refused()
				assert.Equal(t, Refused{Busy: 2, Misplaced: 1, Unsendable: 1}, refused)
				for i, ask := range asks {
					v, err := n.client.Fetch(t.Context(), n.to, ask.Key, ask.After)
					assert.Equal(t, Outcome{v, err}, got[i], ask.Key)
				}
				assert.Equal(t, "a k ids", string(got[0].Value.Data))
				assert.Equal(t, "a  ids", string(got[9].Value.Data))
				assert.Equal(t, "a k ", string(got[10].Value.Data))
				require.ErrorIs(t, got[4].Err, errNotFound)
				assert.Equal(t, "closed", n.client.Breaker(n.to))
			})
		})
	}
}

func TestFetchManyOfNone(t *testing.T) {
	n := connect(t, http1, configA(), configB(), backend{}) // which would panic
	assert.Empty(t, n.client.FetchMany(t.Context(), n.to, nil))
}

// A batch that fails has one error for all its keys, which is sent once, with a stack.
func TestFailureOfMany(t *testing.T) {
	p := &courier.PanicError{Value: "boom", Stack: pattern(maxStack)}
	n := connectMany(t, func(_ context.Context, asks []Ask) []Outcome {
		outcomes := make([]Outcome, len(asks))
		for i := range outcomes {
			outcomes[i].Err = p
		}
		outcomes[1].Err = errNotFound
		return outcomes
	})
	size := int64(0)
	rt := n.client.rt
	n.client.rt = roundTrips(func(r *http.Request) (*http.Response, error) {
		res, err := rt.RoundTrip(r)
		if err == nil {
			size = res.ContentLength
		}
		return res, err
	})
	asks := asksOf(1000)
	for i, o := range n.client.FetchMany(t.Context(), n.to, asks) {
		var e *LoadError
		require.ErrorAs(t, o.Err, &e)
		require.Equal(t, asks[i].Key, e.Key)
		require.Equal(t, "b", e.Node)
		if i != 1 {
			require.Equal(t, Panicked, e.Kind)
			require.Equal(t, string(p.Stack), e.Stack)
		}
	}
	assert.Less(t, size, int64(3*maxStack))
}

// A panic of the Backend is the outcome of all keys, and so is a missing outcome.
func TestPanicOfMany(t *testing.T) {
	for name, many := range map[string]func(context.Context, []Ask) []Outcome{
		"boom":                    func(context.Context, []Ask) []Outcome { panic("boom") },
		"an outcome for each key": func(context.Context, []Ask) []Outcome { return make([]Outcome, 2) },
	} {
		n := connectMany(t, many)
		for _, o := range n.client.FetchMany(t.Context(), n.to, asksOf(3)) {
			var e *LoadError
			require.ErrorAs(t, o.Err, &e)
			assert.Equal(t, Panicked, e.Kind)
			assert.Contains(t, e.Message, name)
		}
	}
}

// A node that is silent costs one wait, however many requests would be needed.
func TestSilenceOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := NewClient(configA(), roundTrips(func(r *http.Request) (*http.Response, error) {
			asked++
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		defer c.Close()
		began := time.Now()
		for _, o := range c.FetchMany(t.Context(), toB, asksOf(3*maxKeys)) {
			unavailable(t, o.Err, Silent)
		}
		assert.Equal(t, testPeerTimeout, time.Since(began))
		assert.Equal(t, 1, asked)
		for range maxFailures - 1 {
			c.FetchMany(t.Context(), toB, asksOf(2))
		}
		for _, o := range c.FetchMany(t.Context(), toB, asksOf(2)) {
			unavailable(t, o.Err, PassedOver)
		}
		assert.Equal(t, maxFailures, asked, "the breaker counts requests for many keys as for one")
	})
}

// If a node breaks off in the middle, the keys that it has answered have their outcomes, and the
// rest an error.
func TestManyThatBreakOff(t *testing.T) {
	asked := 0
	c := NewClient(configA(), nil)
	w := &serverRequest{server: NewServer(configB(), backend{})}
	c.rt = roundTrips(func(*http.Request) (*http.Response, error) {
		if asked++; asked == 2 { //nolint:gocritic // shorter so
			return nil, errNetwork
		}
		return replied(value, string(w.encodeOutcomes(t.Context(), make([]Outcome, maxKeys), 1))), nil
	})
	got := c.FetchMany(t.Context(), toB, asksOf(3*maxKeys))
	for i, o := range got {
		if i < maxKeys {
			require.NoError(t, o.Err)
			continue
		}
		unavailable(t, o.Err, Unreachable)
	}
	assert.Equal(t, 2, asked)
}

func TestCallerOfManyLeaves(t *testing.T) {
	begun := make(chan struct{})
	n := connectMany(t, func(ctx context.Context, _ []Ask) []Outcome {
		close(begun)
		<-ctx.Done()
		return nil
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-begun
		cancel(errLeft)
	}()
	for _, o := range n.client.FetchMany(ctx, n.to, asksOf(3)) {
		assert.Equal(t, errLeft, o.Err)
	}
}

// A long load of many keys is waited for like a load of one key, and the owner learns of late
// flights.
func TestSlowLoadOfMany(t *testing.T) {
	t.Parallel()
	a := configA()
	a.PeerTimeout = 2 * time.Second
	var late atomic.Int64
	many := func(ctx context.Context, _ string, asks []Ask) []Outcome {
		late.Store(int64(courier.LateAge(ctx)))
		time.Sleep(2 * a.PeerTimeout)
		return make([]Outcome, len(asks))
	}
	n := connect(t, http1, a, configB(), backend{many: many})
	ctx := courier.ContextWithLateAge(t.Context(), 3*time.Second)
	for _, o := range n.client.FetchMany(ctx, n.to, asksOf(3)) {
		require.NoError(t, o.Err)
	}
	assert.Equal(t, 3*time.Second, time.Duration(late.Load()))
}

func BenchmarkFetchMany(b *testing.B) {
	for _, keys := range []int{1, 100, 1000} {
		b.Run(strconv.Itoa(keys), func(b *testing.B) {
			n := connect(b, http1, configA(), configB(), backend{fetch: echo})
			asks := asksOf(keys)
			b.ReportAllocs()
			for b.Loop() {
				for _, o := range n.client.FetchMany(b.Context(), n.to, asks) {
					if o.Err != nil {
						b.Fatal(errors.Unwrap(o.Err))
					}
				}
			}
		})
	}
}

// Each request restarts the time-out of the flight that asks, since the owner's load has a time-out
// of its own.
func TestManyRequestsOfOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := NewClient(configA(), roundTrips(func(r *http.Request) (*http.Response, error) {
			requests++
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			m, err := decodeMany(body, maxKey, maxMessage)
			require.NoError(t, err)
			time.Sleep(testPeerTimeout - time.Second)
			return replied(value, strings.Repeat("\x01\x00\x00", len(m.asks))), r.Context().Err()
		}))
		flights := courier.New[string, int](courier.WithTimeout(time.Second))
		_, _, err := flights.Do(t.Context(), "f", func(ctx context.Context) (int, error) {
			for _, o := range c.FetchMany(ctx, toB, asksOf(2*maxKeys+1)) {
				if o.Err != nil {
					return 0, o.Err
				}
			}
			return 0, nil
		})
		require.NoError(t, err)
		require.Equal(t, 3, requests)
		require.NoError(t, flights.Shutdown(t.Context()))
		c.Close()
	})
}

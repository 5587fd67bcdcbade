package peer

import (
	"bytes"
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

// The deletes of each key arrive as they are, though most are sent but once.
func TestAftersOfMany(t *testing.T) {
	var got []Ask
	n := connectMany(t, func(_ context.Context, asks []Ask) []Outcome {
		got = asks
		return make([]Outcome, len(asks))
	})
	x, y := []byte("x"), []byte("y")
	for _, afters := range [][][]byte{
		{nil, nil}, {x, x}, {x, nil, x}, {nil, x, x, y, y, nil}, {x, y, x}, {nil},
		{bytes.Repeat(x, 1000), x},
	} {
		asks := asksOf(len(afters))
		for i := range asks {
			asks[i].After = afters[i]
		}
		n.client.FetchMany(t.Context(), n.to, asks)
		require.Equal(t, asks, got)
	}
	asks := asksOf(1000)
	for i := range asks {
		asks[i].After = bytes.Repeat(x, 1000)
	}
	body, count := n.client.encodeMany(asks, make([]int, 1000), 0)
	require.Equal(t, 1000, count)
	require.Less(t, len(body), 1000+1000*10)
}

// As many requests as the bounds of keys and bytes ask for, and no more.
func TestManyAreSplit(t *testing.T) {
	type split struct {
		asks     []Ask
		requests int
	}
	long := make([]Ask, 100)
	for i := range long {
		long[i] = Ask{strings.Repeat("k", 1000) + strconv.Itoa(i), bytes.Repeat([]byte{byte(i)}, 500)}
	}
	largest := []Ask{{strings.Repeat("k", 2000), bytes.Repeat([]byte("i"), 10_000)}, {"k", nil}}
	a, b := configA(), configB()
	a.MaxKey, a.MaxMessage = 2000, 10_000
	b.MaxKey, b.MaxMessage = 2000, 10_000
	for name, c := range map[string]struct {
		a, b Config
		split
	}{
		"as many keys as there may be": {configA(), configB(), split{asksOf(maxKeys), 1}},
		"one more":                     {configA(), configB(), split{asksOf(maxKeys + 1), 2}},
		"long keys and lists":          {a, b, split{long, 17}}, // six of each
		"one fills a request":          {a, b, split{largest, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			n := connect(t, http1, c.a, c.b, backend{fetch: echo})
			line := &tap{RoundTripper: n.client.rt}
			n.client.rt = line
			for i, o := range n.client.FetchMany(t.Context(), n.to, c.asks) {
				require.NoError(t, o.Err)
				require.Equal(t, c.asks[i].Key, string(o.Value.Data))
			}
			assert.Len(t, line.all, c.requests)
		})
	}
}

// An answer is no larger than that about one key may be: what finds no room is asked for again.
func TestAnswersAboutManyAreBounded(t *testing.T) {
	a, b := configA(), configB()
	a.MaxValue, b.MaxValue = 100_000, 200_000
	sizes := []int{60_000, 60_000, 60_000, 100_000, 100_001, 0, 200_001, 30_000, 99_999}
	var served []int
	var longest atomic.Int64
	many := func(_ context.Context, _ string, asks []Ask) []Outcome {
		served = append(served, len(asks))
		outcomes := make([]Outcome, len(asks))
		for i, ask := range asks {
			var k int
			_, err := fmt.Sscanf(ask.Key, "key %d", &k)
			assert.NoError(t, err)
			outcomes[i].Value.Data = pattern(sizes[k])
		}
		return outcomes
	}
	n := connect(t, http1, a, b, backend{many: many})
	rt := n.client.rt
	n.client.rt = roundTrips(func(r *http.Request) (*http.Response, error) {
		res, err := rt.RoundTrip(r)
		if err == nil {
			longest.Store(max(longest.Load(), res.ContentLength))
		}
		return res, err
	})
	for i, o := range n.client.FetchMany(t.Context(), n.to, asksOf(len(sizes))) {
		if sizes[i] > a.MaxValue {
			var size *SizeError
			unavailable(t, o.Err, Unsendable)
			require.ErrorAs(t, o.Err, &size)
			assert.Equal(t, SizeError{What: "answer", Size: int64(sizes[i]), Max: 100_000}, *size)
			continue
		}
		require.NoError(t, o.Err, i)
		require.True(t, bytes.Equal(pattern(sizes[i]), o.Value.Data), i)
	}
	assert.Equal(t, []int{9, 4, 2, 1}, served, "the rest is asked for again")
	assert.LessOrEqual(t, longest.Load(), int64(a.MaxValue+maxSmall+len(sizes)*maxOutcome))
	assert.Equal(t, "closed", n.client.Breaker(n.to))
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

// A Backend that panics has done so for all keys, and so has one that forgets some.
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
		assert.Equal(t, patienceOfTests, time.Since(began))
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

// A node that breaks off in the middle leaves what it has said, and an error for the rest.
func TestManyThatBreakOff(t *testing.T) {
	asked := 0
	c := NewClient(configA(), nil)
	w := &work{server: NewServer(configB(), backend{})}
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

// A load of many keys that takes long is waited for as one of a single key is, and the owner is
// told of late flights.
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

func TestMalformedRequestsForMany(t *testing.T) {
	c := NewClient(configA(), nil)
	asks := []Ask{{"a", []byte("ids")}, {"b", []byte("ids")}, {"", nil}}
	good, _ := c.encodeMany(asks, []int{0, 1, 2}, time.Second)
	_, err := decodeMany(good, 100, 100)
	require.NoError(t, err)
	for n := range good {
		_, err := decodeMany(good[:n], 100, 100)
		require.ErrorIs(t, err, errFrame, "the first %d bytes", n)
	}
	for name, b := range map[string][]byte{
		"a byte more": append(bytes.Clone(good), 0),
		"no keys":     {0, 1, 0},
		//nolint:gocritic // shorter so
		"too many keys":   append([]byte{0, 1, 0x81, 0x40}, bytes.Repeat([]byte{0}, 2*(maxKeys+1))...),
		"fewer keys":      {0, 1, 2, 1, 1, 'a'},
		"endless number":  bytes.Repeat([]byte{0xff}, 20),
		"endless list":    append([]byte{0, 1, 1}, append(bytes.Repeat([]byte{0xff}, 9), 1, 0)...),
		"list to the end": {0, 1, 1, 3, 'x', 'y'},
	} {
		_, err := decodeMany(b, 100, 100)
		require.ErrorIs(t, err, errFrame, name)
	}
	//nolint:gocritic // shorter so
	most := append([]byte{0, 1, 0x80, 0x40}, bytes.Repeat([]byte{0}, 2*maxKeys)...)
	_, err = decodeMany(most, 100, 100)
	require.NoError(t, err)
	for name, asks := range map[string][]Ask{
		"key":             {{"k", nil}, {strings.Repeat("k", 101), nil}},
		"list of deletes": {{"k", bytes.Repeat([]byte("i"), 101)}},
	} {
		b, _ := c.encodeMany(asks, []int{0, 1}[:len(asks)], 0)
		_, err := decodeMany(b, 100, 100)
		var size *SizeError
		require.ErrorAs(t, err, &size)
		assert.Equal(t, SizeError{What: name, Size: 101, Max: 100}, *size)
	}
}

// Of an answer that breaks a rule anywhere nothing is taken, and it counts against the node.
func TestMalformedAnswersAboutMany(t *testing.T) {
	w := &work{server: NewServer(configB(), backend{})}
	good := w.encodeOutcomes(t.Context(), []Outcome{
		{Value: Value{Data: []byte("v"), Keep: 1}}, {Err: errNotFound}, {Err: errNotFound},
	}, 100)
	for name, b := range map[string][]byte{
		"nothing":                 nil,
		"cut off":                 good[:len(good)-1],
		"a byte more":             append(bytes.Clone(good), 0),
		"unknown kind":            append(bytes.Clone(good[:len(good)-2]), byte(denied), 0),
		"no outcome at all":       {0, 0, 0},
		"no failure before":       append([]byte{byte(failed), 0}, good...)[:len(good)],
		"failure that can't be":   append(bytes.Clone(good[:len(good)-2]), byte(failed), 1, 'x'),
		"value that is too large": append([]byte{byte(value), 0, 101}, make([]byte, 101+2)...),
		"misplaced, long owner":   append([]byte{byte(misplaced), 0x81, 8}, make([]byte, maxName+3)...),
		"no size":                 append(bytes.Clone(good[:len(good)-2]), byte(oversize), 1, '1'),
	} {
		a := configA()
		a.MaxValue = 100
		c := NewClient(a, roundTrips(func(*http.Request) (*http.Response, error) {
			return replied(value, string(b)), nil
		}))
		for range maxFailures {
			for _, o := range c.FetchMany(t.Context(), toB, asksOf(3)) {
				unavailable(t, o.Err, Rubbish)
				require.Empty(t, o.Value, name)
			}
		}
		assert.Equal(t, "open", c.Breaker(toB), name)
		c.Close()
	}
}

// A value has memory of its own: else one that is kept would keep the whole answer.
func TestValuesOfManyStandAlone(t *testing.T) {
	w := &work{server: NewServer(configB(), backend{})}
	b := w.encodeOutcomes(t.Context(), []Outcome{{Value: Value{Data: []byte("value")}}}, 100)
	var outcome reply
	err := NewClient(configA(), nil).decodeOutcomes(b, 1, func(_ int, r reply) { outcome = r })
	require.NoError(t, err)
	clear(b)
	v, err := outcome.result("b", "k")
	require.NoError(t, err)
	require.Equal(t, "value", string(v.Data))
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

// The time-out of the flight that asks counts for each request anew: what the owner does for each
// of them has a time-out of its own.
func TestManyRequestsOfOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := NewClient(configA(), roundTrips(func(r *http.Request) (*http.Response, error) {
			requests++
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			m, err := decodeMany(body, DefaultMaxKey, DefaultMaxMessage)
			require.NoError(t, err)
			time.Sleep(patienceOfTests - time.Second)
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

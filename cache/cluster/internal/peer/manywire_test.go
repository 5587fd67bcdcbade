package peer

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The deletes of each key arrive as they are, though most are sent only once.
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

// There are as many requests as the bounds of keys and bytes need, and no more.
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

// An answer is no larger than an answer about one key may be: keys that find no room are asked for
// again.
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
	assert.LessOrEqual(t, longest.Load(), int64(a.MaxValue+maxShortAnswer+len(sizes)*maxOutcome))
	assert.Equal(t, "closed", n.client.Breaker(n.to))
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

// An answer that breaks a rule anywhere is refused as a whole, and counts against the node.
func TestMalformedAnswersAboutMany(t *testing.T) {
	w := &serverRequest{server: NewServer(configB(), backend{})}
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

// A value has memory of its own. Otherwise one value that is kept would keep the whole answer.
func TestValuesOfManyStandAlone(t *testing.T) {
	w := &serverRequest{server: NewServer(configB(), backend{})}
	b := w.encodeOutcomes(t.Context(), []Outcome{{Value: Value{Data: []byte("value")}}}, 100)
	var outcome reply
	err := NewClient(configA(), nil).decodeOutcomes(b, 1, func(_ int, r reply) { outcome = r })
	require.NoError(t, err)
	clear(b)
	v, err := outcome.result("b", "k")
	require.NoError(t, err)
	require.Equal(t, "value", string(v.Data))
}

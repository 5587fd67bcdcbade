package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

func TestFetch(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			withKeys(t, func(t *testing.T, d *Identity) {
				a, b := configA(), configB()
				a.Identity, b.Identity = d, d
				type asked struct {
					from, key string
					after     []byte
				}
				var got asked
				n := connect(t, p, a, b, backend{fetch: func(_ context.Context, from, key string, after []byte) (Value, error) {
					got = asked{from, key, after}
					return Value{Data: []byte("the value"), Keep: 1234567 * time.Nanosecond}, nil
				}})
				v, err := n.client.Fetch(t.Context(), n.to, "some key", []byte("ids"))
				require.NoError(t, err)
				assert.Equal(t, Value{Data: []byte("the value"), Keep: 1234567 * time.Nanosecond}, v)
				assert.Equal(t, asked{"a", "some key", []byte("ids")}, got)
				assert.Equal(t, Refused{}, n.server.Refused())
				assert.Equal(t, "closed", n.client.Breaker(n.to))
			})
		})
	}
}

func TestExchange(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			n := connect(t, p, configA(), configB(),
				backend{exchange: func(_ context.Context, from string, m []byte) ([]byte, error) {
					return append([]byte(from+": "), m...), nil
				}})
			m, err := n.client.Exchange(t.Context(), n.to, []byte("deletes\x00"))
			require.NoError(t, err)
			assert.Equal(t, "a: deletes\x00", string(m))
			m, err = n.client.Exchange(t.Context(), n.to, nil)
			require.NoError(t, err)
			assert.Equal(t, "a: ", string(m))
		})
	}
}

func TestExchangeErrors(t *testing.T) {
	var answer error
	n := connect(t, http1, configA(), configB(),
		backend{exchange: func(context.Context, string, []byte) ([]byte, error) {
			return nil, answer
		}})
	for _, c := range []struct {
		err    error
		reason Reason
		text   string
	}{
		{ErrBusy, Busy, "busy"},
		{fmt.Errorf("x: %w", ErrClosing), Closing, "closing"},
		{errors.New("no such message"), Rubbish, "no such message"},
	} {
		answer = c.err
		_, err := n.client.Exchange(t.Context(), n.to, []byte("m"))
		unavailable(t, err, c.reason)
		assert.ErrorContains(t, err, c.text)
	}
}

func TestKeep(t *testing.T) {
	var keep time.Duration
	n := connect(t, http1, configA(), configB(),
		backend{fetch: func(context.Context, string, string, []byte) (Value, error) {
			return Value{Keep: keep}, nil
		}})
	for _, keep = range []time.Duration{0, 1, -1, time.Hour, 1<<63 - 1} {
		v, err := n.fetch(t.Context(), "k")
		require.NoError(t, err)
		assert.Equal(t, keep, v.Keep)
		assert.Empty(t, v.Data)
	}
}

func TestSizesOfValues(t *testing.T) {
	a, b := configA(), configB()
	a.MaxValue, b.MaxValue = 4<<20, 8<<20
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			var size int
			n := connect(t, p, a, b, backend{fetch: func(context.Context, string, string, []byte) (Value,
				error) {
				return Value{Data: pattern(size)}, nil
			}})
			for _, size = range []int{
				0, 1, chunk - 1, chunk, chunk + 1, firstRead - 1, firstRead, firstRead + 1, 3*firstRead + 7,
				4 << 20,
			} {
				v, err := n.fetch(t.Context(), "k")
				require.NoError(t, err, size)
				require.Len(t, v.Data, size)
				require.True(t, bytes.Equal(pattern(size), v.Data), size)
			}
			// Too large for the asker, and too large for the owner.
			limits := map[int]int64{4<<20 + 1: 4 << 20, 8<<20 + 1: 8 << 20}
			for _, size = range []int{4<<20 + 1, 8<<20 + 1} {
				for range 2 * maxFailures {
					_, err := n.fetch(t.Context(), "k")
					var tooLarge *SizeError
					unavailable(t, err, Unsendable)
					require.ErrorAs(t, err, &tooLarge)
					assert.Equal(t, SizeError{What: "answer", Size: int64(size), Max: limits[size]}, *tooLarge)
				}
			}
			assert.Equal(t, "closed", n.client.Breaker(n.to), "a large value is no failure of the node's")
		})
	}
}

func TestMisplaced(t *testing.T) {
	for _, owner := range []string{"", "c", "node \xff\r\nX: y \"ü\"", strings.Repeat("n", maxName)} {
		n := connect(t, http1, configA(), configB(), backend{
			fetch: fails(fmt.Errorf("wrapped: %w", &MisplacedError{Owner: owner})),
		})
		_, err := n.fetch(t.Context(), "k")
		var m *MisplacedError
		require.ErrorAs(t, err, &m)
		assert.Equal(t, MisplacedError{Node: "b", Owner: owner}, *m)
		assert.Equal(t, Refused{Misplaced: 1}, n.server.Refused())
	}
}

func TestBusyAndClosing(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason Reason
	}{
		{ErrBusy, Busy},
		{courier.ErrOverloaded, Busy},
		{fmt.Errorf("%w: too many callers wait", courier.ErrOverloaded), Busy},
		{ErrClosing, Closing},
		{courier.ErrClosed, Closing},
	} {
		n := connect(t, http1, configA(), configB(), backend{fetch: fails(c.err)})
		for range 2 * maxFailures {
			_, err := n.fetch(t.Context(), "k")
			unavailable(t, err, c.reason)
		}
		assert.Equal(t, "closed", n.client.Breaker(n.to), "a busy node is not broken")
		assert.Equal(t, Refused{Busy: 2 * maxFailures}, n.server.Refused())
	}
}

func TestMaxRequests(t *testing.T) {
	b := configB()
	b.MaxRequests = 2
	begun, end := make(chan struct{}), make(chan struct{})
	n := connect(t, http1, configA(), b,
		backend{fetch: func(_ context.Context, _, key string, _ []byte) (Value, error) {
			begun <- struct{}{}
			<-end
			return Value{Data: []byte(key)}, nil
		}, exchange: func(context.Context, string, []byte) ([]byte, error) { return nil, nil }})
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := n.fetch(t.Context(), "k")
			errs <- err
		}()
		receive(t, begun, "a request")
	}
	_, err := n.fetch(t.Context(), "k")
	unavailable(t, err, Busy)
	_, err = n.client.Exchange(t.Context(), n.to, nil)
	require.NoError(t, err, "deletes do not wait for loads")
	close(end)
	for range 2 {
		require.NoError(t, receive(t, errs, "an answer"))
	}
	go func() { <-begun }()
	require.Eventually(t, func() bool {
		_, err = n.fetch(t.Context(), "k")
		return err == nil
	}, testPeerTimeout, time.Millisecond)
	assert.Positive(t, n.server.Refused().Busy)
}

package peer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// roundTrips is a RoundTripper without a network.
type roundTrips func(*http.Request) (*http.Response, error)

func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// replied is the response of a Server without keys.
func replied(k kind, body string) *http.Response {
	h := http.Header{}
	h.Set(headerAnswer, fields("1", k.String(), strconv.Itoa(len(body)), "0", "0"))
	return &http.Response{
		StatusCode: kinds[k].status, Header: h, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

var (
	toB        = Address{Node: "b", URL: "http://b:1", Incarnation: incarnationB}
	errNetwork = errors.New("no route to host")
)

// A node that fails is passed over after five failures, for one to two seconds; then one request
// tries it.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, works := 0, false
		c := NewClient(configA(), roundTrips(func(*http.Request) (*http.Response, error) {
			asked++
			if works {
				return replied(value, "v"), nil
			}
			return nil, errNetwork
		}))
		fetch := func() error { _, err := c.Fetch(t.Context(), toB, "k", nil); return err }
		for i := range maxFailures {
			assert.Equal(t, "closed", c.Breaker(toB), i)
			err := fetch()
			unavailable(t, err, Unreachable)
			assert.ErrorIs(t, err, errNetwork)
		}
		assert.Equal(t, "open", c.Breaker(toB))
		began := time.Now()
		unavailable(t, fetch(), PassedOver)
		require.Equal(t, maxFailures, asked)
		for c.Breaker(toB) == "open" {
			time.Sleep(time.Millisecond)
		}
		assert.GreaterOrEqual(t, time.Since(began), rest)
		assert.LessOrEqual(t, time.Since(began), 2*rest+time.Millisecond)
		assert.Equal(t, "half-open", c.Breaker(toB))
		unavailable(t, fetch(), Unreachable)
		assert.Equal(t, "open", c.Breaker(toB), "the one that tried failed")
		unavailable(t, fetch(), PassedOver)
		require.Equal(t, maxFailures+1, asked)

		works = true
		time.Sleep(2 * rest)
		require.NoError(t, fetch())
		assert.Equal(t, "closed", c.Breaker(toB))
		c.Close()
	})
}

// Deletes are sent to a node that is passed over, too: their sender has intervals of its own.
func TestBreakerLetsDeletesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works := false
		c := NewClient(configA(), roundTrips(func(*http.Request) (*http.Response, error) {
			if works {
				return replied(value, "m"), nil
			}
			return nil, errNetwork
		}))
		for range maxFailures + 1 {
			_, err := c.Exchange(t.Context(), toB, []byte("m"))
			unavailable(t, err, Unreachable)
		}
		assert.Equal(t, "open", c.Breaker(toB))
		works = true
		_, err := c.Exchange(t.Context(), toB, []byte("m"))
		require.NoError(t, err)
		_, err = c.Fetch(t.Context(), toB, "k", nil)
		unavailable(t, err, PassedOver)
		c.Close()
	})
}

// Only one request tries a node that has rested, however many come.
func TestBreakerTriesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		slow := make(chan struct{})
		var trying atomic.Bool
		c := NewClient(configA(), roundTrips(func(*http.Request) (*http.Response, error) {
			asked.Add(1)
			if !trying.Load() {
				return nil, errNetwork
			}
			<-slow
			return replied(value, "v"), nil
		}))
		for range maxFailures {
			_, err := c.Fetch(t.Context(), toB, "k", nil)
			unavailable(t, err, Unreachable)
		}
		time.Sleep(2 * rest)
		asked.Store(0)
		trying.Store(true)
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				_, err := c.Fetch(t.Context(), toB, "k", nil)
				var u *UnavailableError
				if errors.As(err, &u) && u.Reason == PassedOver {
					passed.Add(1)
				}
			})
		}
		synctest.Wait()
		assert.EqualValues(t, 1, asked.Load())
		assert.EqualValues(t, 49, passed.Load(), "they don't wait for the one that tries")
		close(slow)
		wg.Wait()
		assert.Equal(t, "closed", c.Breaker(toB))
		c.Close()
	})
}

// Outcomes that say nothing against a node do not count, and a caller who leaves does not use up
// the one try.
func TestBreakerDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer func(*http.Request) (*http.Response, error)
		c := NewClient(configA(), roundTrips(func(r *http.Request) (*http.Response,
			error) {
			return answer(r)
		}))
		hangs := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		leave := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := c.Fetch(ctx, toB, "k", nil)
			require.Equal(t, context.DeadlineExceeded, err)
		}
		answers := map[string]func(*http.Request) (*http.Response, error){
			"busy":      func(*http.Request) (*http.Response, error) { return replied(busy, ""), nil },
			"closing":   func(*http.Request) (*http.Response, error) { return replied(closing, ""), nil },
			"misplaced": func(*http.Request) (*http.Response, error) { return replied(misplaced, "c"), nil },
			"failed": func(*http.Request) (*http.Response, error) {
				return replied(failed, string(encodeLoadError(errNetwork, nil))), nil
			},
			"too large": func(*http.Request) (*http.Response,
				error) {
				return replied(tooLarge, "key"), nil
			},
			"malformed": func(*http.Request) (*http.Response, error) { return replied(malformed, "?"), nil },
			"oversize": func(*http.Request) (*http.Response,
				error) {
				return replied(oversize, "2 1"), nil
			},
		}
		for name, f := range answers {
			answer = f
			for range 2 * maxFailures {
				_, err := c.Fetch(t.Context(), toB, "k", nil)
				require.Error(t, err, name)
			}
			require.Equal(t, "closed", c.Breaker(toB), name)
		}
		answer = hangs
		for range 2 * maxFailures {
			leave()
		}
		require.Equal(t, "closed", c.Breaker(toB), "callers who leave")

		answer = func(*http.Request) (*http.Response, error) { return nil, errNetwork }
		for range maxFailures {
			_, err := c.Fetch(t.Context(), toB, "k", nil)
			unavailable(t, err, Unreachable)
		}
		require.Equal(t, "open", c.Breaker(toB))
		time.Sleep(2 * rest)
		answer = hangs
		leave()
		require.Equal(t, "half-open", c.Breaker(toB))
		answer = answers["busy"]
		_, err := c.Fetch(t.Context(), toB, "k", nil)
		unavailable(t, err, Busy)
		assert.Equal(t, "closed", c.Breaker(toB), "a node that is busy lives")
		c.Close()
	})
}

func TestBreakerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for r, answer := range map[Reason]func(*http.Request) (*http.Response, error){
			Silent: func(r *http.Request) (*http.Response,
				error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			},
			OtherService: func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			},
			Denied: func(*http.Request) (*http.Response, error) { return replied(denied, "no"), nil },
			OtherVersion: func(*http.Request) (*http.Response,
				error) {
				return replied(otherVersion, "2"), nil
			},
		} {
			c := NewClient(configA(), roundTrips(answer))
			began := time.Now()
			for range maxFailures {
				_, err := c.Fetch(t.Context(), toB, "k", nil)
				unavailable(t, err, r)
			}
			if r == Silent {
				assert.Equal(t, maxFailures*testPeerTimeout, time.Since(began))
			}
			assert.Equal(t, "open", c.Breaker(toB), r)
			// Another incarnation of the node is another node.
			other := Address{Node: toB.Node, URL: toB.URL, Incarnation: toB.Incarnation + 1}
			assert.Equal(t, "closed", c.Breaker(other))
			_, err := c.Fetch(t.Context(), other, "k", nil)
			unavailable(t, err, r)
			// An address that was forgotten is asked again.
			c.Forget(func(a Address) bool { return a == other })
			assert.Equal(t, "closed", c.Breaker(toB))
			assert.Len(t, c.targets, 1)
			c.Close()
		}
	})
}

// A RoundTripper that panics must not leave the breaker waiting for the one that tries.
func TestBreakerAndPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		panics, works := false, false
		c := NewClient(configA(), roundTrips(func(*http.Request) (*http.Response, error) {
			switch {
			case panics:
				panic("oops")
			case works:
				return replied(value, ""), nil
			}
			return nil, errNetwork
		}))
		for range maxFailures {
			_, err := c.Fetch(t.Context(), toB, "k", nil)
			unavailable(t, err, Unreachable)
		}
		time.Sleep(2 * rest)
		panics = true
		assert.PanicsWithValue(t, "oops", func() { _, _ = c.Fetch(t.Context(), toB, "k", nil) })
		panics, works = false, true
		_, err := c.Fetch(t.Context(), toB, "k", nil)
		assert.NoError(t, err)
		c.Close()
	})
}

func TestReasons(t *testing.T) {
	seen := make(map[string]bool)
	for r := Silent; r <= PassedOver; r++ {
		assert.NotContains(t, r.String(), "Reason")
		assert.False(t, seen[r.String()], r)
		seen[r.String()] = true
	}
	assert.Equal(t, "Reason(99)", Reason(99).String())
	err := &UnavailableError{Node: "n", Reason: Silent, Err: errSilent}
	assert.EqualError(t, err, `cluster: node "n": silent: nothing came from it in time`)
}

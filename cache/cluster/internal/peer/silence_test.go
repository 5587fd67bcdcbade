package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const shortSilence = 60 * time.Millisecond

// shortTimeout returns the Config of an asker that soon gives up. Whatever a server has to do
// within its peer time-out, it has to do on a busy machine.
func shortTimeout() Config {
	a := configA()
	a.PeerTimeout = shortSilence
	return a
}

// A load may take as long as it likes: life signs say that it is at work.
func TestSlowLoadIsWaitedFor(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				a, b := configA(), configB()
				s := NewServer(b, backend{fetch: func(context.Context, string, string, []byte) (Value, error) {
					calls++
					if calls == 1 {
						time.Sleep(100 * a.PeerTimeout)
					}
					return Value{Data: []byte("at last")}, nil
				}})
				c := NewClient(a, servePipes(t, p, s))
				t.Cleanup(c.Close)
				to := Address{Node: b.Node, URL: "http://b", Incarnation: b.Incarnation}
				began := time.Now()
				v, err := c.Fetch(t.Context(), to, "k", nil)
				require.NoError(t, err)
				assert.Equal(t, "at last", string(v.Data))
				assert.Equal(t, 100*a.PeerTimeout, time.Since(began))
				v, err = c.Fetch(t.Context(), to, "k", nil) // and the connection is as good as before
				require.NoError(t, err)
				assert.Equal(t, "at last", string(v.Data))
			})
		})
	}
}

// servePipes starts an HTTP server, in a bubble, and returns what connects to it by pipes. Both end
// with the test.
func servePipes(t *testing.T, p protocol, h http.Handler) *http.Transport {
	t.Helper()
	l := pipes{make(chan net.Conn), make(chan struct{})}
	s := &http.Server{Handler: h, Protocols: protocolsOf(p), ReadHeaderTimeout: time.Hour,
		ErrorLog: quiet()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	tr := transport(t, p)
	tr.DialContext = l.dial
	return tr
}

// pipes is a listener whose connections stay in the process.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
}

func (l pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.dialed <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialed:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipes) Close() error { close(l.closed); return nil }

func (l pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// A server with time-outs of its own for requests must not end a load that takes long.
func TestTimeoutsOfTheServer(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			s := NewServer(configB(), backend{fetch: func(ctx context.Context, _, key string, _ []byte) (Value, error) {
				select {
				case <-time.After(1200 * time.Millisecond):
					return Value{Data: []byte(key)}, nil
				case <-ctx.Done():
					return Value{}, ctx.Err()
				}
			}})
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			h := &http.Server{
				Handler: s, Protocols: protocolsOf(p),
				ReadTimeout: 700 * time.Millisecond, WriteTimeout: 700 * time.Millisecond,
			}
			served := make(chan error, 1)
			go func() { served <- h.Serve(l) }()
			defer func() {
				assert.NoError(t, h.Close())
				assert.ErrorIs(t, receive(t, served, "the end of Serve"), http.ErrServerClosed)
			}()
			a := configA()
			a.PeerTimeout = time.Second
			c := NewClient(a, transport(t, p))
			defer c.Close()
			v, err := c.Fetch(t.Context(), Address{Node: "b", URL: "http://" + l.Addr().String(), Incarnation: incarnationB},
				"k", nil)
			require.NoError(t, err)
			assert.Equal(t, "k", string(v.Data))
		})
	}
}

func TestSilentServer(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			gone := make(chan struct{}, 1)
			url := serveOn(t, p, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				gone <- struct{}{}
			}))
			c := NewClient(shortTimeout(), transport(t, p))
			defer c.Close()
			_, err := c.Fetch(t.Context(), Address{Node: "b", URL: url, Incarnation: incarnationB}, "k", nil)
			unavailable(t, err, Silent)
			receive(t, gone, "the end of the request")
		})
	}
}

// Interim answers other than 102 are no life signs.
func TestOtherInterimAnswersAreNoLife(t *testing.T) {
	t.Parallel()
	url := serveOn(t, http1, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
			time.Sleep(time.Millisecond)
		}
	}))
	a := configA()
	a.PeerTimeout = 500 * time.Millisecond
	c := NewClient(a, transport(t, http1))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*a.PeerTimeout)
	defer cancel()
	_, err := c.Fetch(ctx, Address{Node: "b", URL: url, Incarnation: incarnationB}, "k", nil)
	unavailable(t, err, Silent)
}

func TestSilenceInTheMiddleOfAnAnswer(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			url := serveOn(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				says(w, value, "1000")
				_, _ = w.Write(make([]byte, 500))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}))
			c := NewClient(shortTimeout(), transport(t, p))
			defer c.Close()
			_, err := c.Fetch(t.Context(), Address{Node: "b", URL: url, Incarnation: incarnationB}, "k", nil)
			unavailable(t, err, Silent)
		})
	}
}

// says writes the head of an answer as a Server would.
func says(w http.ResponseWriter, k kind, length string) {
	w.Header().Set(headerAnswer, fields("1", k.String(), length, "0", "0"))
	w.WriteHeader(kinds[k].status)
}

// A slow line is not silence: as long as bytes arrive the asker waits.
func TestSlowAnswer(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			const parts = 20
			url := serveOn(t, p, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				says(w, value, "20")
				for range parts {
					time.Sleep(60 * time.Millisecond) // twice the peer time-out
					_, _ = w.Write([]byte("x"))
					_ = http.NewResponseController(w).Flush()
				}
			}))
			a := configA()
			a.PeerTimeout = 600 * time.Millisecond
			c := NewClient(a, transport(t, p))
			defer c.Close()
			v, err := c.Fetch(t.Context(), Address{Node: "b", URL: url, Incarnation: incarnationB}, "k", nil)
			require.NoError(t, err)
			assert.Len(t, v.Data, parts)
		})
	}
}

// If packets vanish there is no connection.
func TestSilenceWhileConnecting(t *testing.T) {
	rt := transport(t, http1)
	hung := make(chan struct{}, 1)
	rt.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		hung <- struct{}{}
		return nil, ctx.Err()
	}
	c := NewClient(shortTimeout(), rt)
	defer c.Close()
	_, err := c.Fetch(t.Context(), Address{Node: "b", URL: "http://10.0.0.1:1", Incarnation: incarnationB}, "k", nil)
	unavailable(t, err, Silent)
	c.Close() // net/http goes on with a dial, for the next request
	receive(t, hung, "the end of the dial")
}

// A server that accepts connections and never answers is one whose process is stopped.
func TestStoppedServer(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			c := NewClient(shortTimeout(), transport(t, p))
			defer c.Close()
			to := Address{Node: "b", URL: "http://" + l.Addr().String(), Incarnation: incarnationB}
			_, err := c.Fetch(t.Context(), to, "k", nil)
			unavailable(t, err, Silent)
			// A large message does not leave the system's buffers.
			_, err = c.Exchange(t.Context(), to, make([]byte, 16<<20))
			unavailable(t, err, Silent)
		})
	}
}

func TestUnreachable(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	c := NewClient(configA(), transport(t, http1))
	defer c.Close()
	for _, url := range []string{url, "http://node.invalid.:1", "ftp://a", "a", "http://", "http://[",
		":"} {
		want := Unreachable
		if strings.Contains(url, "127.0.0.1") {
			want = NotListening
		}
		_, err = c.Fetch(t.Context(), Address{Node: "b", URL: url, Incarnation: incarnationB}, "k", nil)
		unavailable(t, err, want)
		assert.Equal(t, "closed", c.Breaker(Address{Node: "b", URL: url, Incarnation: incarnationB}))
	}
}

var errLeft = errors.New("the caller has left")

// The Backend's context ends when the asker has left, and the asker gets the cause of its own
// context.
func TestCallerLeaves(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan error, 1)
			n := connect(t, p, configA(), configB(),
				backend{fetch: func(ctx context.Context, _, _ string, _ []byte) (Value, error) {
					close(begun)
					<-ctx.Done()
					ended <- ctx.Err()
					return Value{}, ctx.Err()
				}})
			ctx, cancel := context.WithCancelCause(t.Context())
			errs := make(chan error, 1)
			go func() {
				_, err := n.fetch(ctx, "k")
				errs <- err
			}()
			receive(t, begun, "the request")
			cancel(errLeft)
			assert.Equal(t, errLeft, receive(t, errs, "the error"))
			assert.ErrorIs(t, receive(t, ended, "the end of the Backend's context"), context.Canceled)
			assert.Equal(t, "closed", n.client.Breaker(n.to))

			_, err := n.fetch(ctx, "k") // a caller who has left does not ask
			assert.Equal(t, errLeft, err)
		})
	}
}

// The asker's deadline also ends the Backend's context, in case the end of the request gets lost.
func TestDeadlineIsCarriedOver(t *testing.T) {
	for _, p := range bothProtocols {
		t.Run(string(p), func(t *testing.T) {
			var got, want time.Time
			var has bool
			fetch := func(ctx context.Context, _, _ string, _ []byte) (Value, error) {
				got, has = ctx.Deadline()
				return Value{}, nil
			}
			n := connect(t, p, configA(), configB(), backend{fetch: fetch})
			_, err := n.fetch(t.Context(), "k")
			require.NoError(t, err)
			assert.False(t, has, "no deadline was sent")

			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(290*365*24*time.Hour))
			defer cancel()
			_, err = n.fetch(ctx, "k")
			require.NoError(t, err)
			assert.False(t, has, "one that is hundreds of years away is none")

			want = time.Now().Add(time.Hour)
			ctx, cancel = context.WithDeadline(t.Context(), want)
			defer cancel()
			_, err = n.fetch(ctx, "k")
			require.NoError(t, err)
			assert.True(t, has)
			assert.WithinRange(t, got, want.Add(testPeerTimeout), want.Add(2*testPeerTimeout),
				"the asker's, and its silence")
		})
	}
}

func TestDeadlineOfTheCaller(t *testing.T) {
	n := connect(t, http1, configA(), configB(),
		backend{fetch: func(ctx context.Context, _, _ string, _ []byte) (Value, error) {
			<-ctx.Done()
			return Value{}, ctx.Err()
		}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := n.fetch(ctx, "k")
	require.Equal(t, context.DeadlineExceeded, err)
}

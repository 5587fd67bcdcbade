package mesh

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
)

// newGreeter returns a greeter with some keys.
func newGreeter(t *testing.T, name string, keys ...[]byte) *greeter {
	t.Helper()
	g := &greeter{self: greeting{randomInstance(), 7, name}, rejected: func(string, error) {}}
	if len(keys) > 0 {
		ring, err := memberlist.NewKeyring(keys, keys[0])
		require.NoError(t, err)
		g.keyring = ring
	}
	return g
}

// hello makes one greeter ask another. It returns the answer, and whether the other would go on.
func hello(t *testing.T, asks, answers *greeter) (who greeting, goesOn bool, err error) {
	t.Helper()
	a, b := net.Pipe()
	require.NoError(t, a.SetDeadline(time.Now().Add(patience)))
	done := make(chan bool)
	go func() {
		on := answers.answer(b)
		_ = b.Close() // the other side has closed too
		done <- on
	}()
	who, err = asks.ask(a)
	require.NoError(t, a.Close())
	return who, <-done, err
}

func TestHello(t *testing.T) {
	one, two := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	for _, x := range []struct {
		what           string
		asks, answers  [][]byte
		here, reported KeyProblem // 0: none
	}{
		{"no keys", nil, nil, 0, 0},
		{"one key", [][]byte{one}, [][]byte{one}, 0, 0},
		{"the new key is installed, and used by none", [][]byte{one, two}, [][]byte{one}, 0, 0},
		{"the new key is used by one", [][]byte{two, one}, [][]byte{one, two}, 0, 0},
		{"another key", [][]byte{one}, [][]byte{two}, KeyWrong, KeyWrong},
		{"an outdated key, which is still accepted", [][]byte{one}, [][]byte{two, one}, KeyWrong, 0},
		{"no key there", [][]byte{one}, nil, KeyUnexpected, KeyMissing},
		{"no key here", nil, [][]byte{one}, KeyMissing, KeyUnexpected},
	} {
		t.Run(x.what, func(t *testing.T) {
			a, b := newGreeter(t, "a", x.asks...), newGreeter(t, "b", x.answers...)
			var reported KeyProblem
			b.rejected = func(_ string, err error) {
				var key *KeyError
				require.ErrorAs(t, err, &key)
				reported = key.Problem
			}
			who, goesOn, err := hello(t, a, b)
			require.Equal(t, x.reported, reported)
			require.Equal(t, x.reported == 0, goesOn)
			if x.here == 0 {
				require.NoError(t, err)
				require.Equal(t, b.self, who)
				return
			}
			var key *KeyError
			require.ErrorAs(t, err, &key)
			require.Equal(t, x.here, key.Problem)
			require.ErrorIs(t, err, ErrKey)
		})
	}
}

// TestHelloIsBoundToItsQuestion replays the answer to another question.
func TestHelloIsBoundToItsQuestion(t *testing.T) {
	key := []byte("0123456789abcdef")
	a, b := newGreeter(t, "a", key), newGreeter(t, "b", key)
	question, err := a.seal(a.self.encode(), nil)
	require.NoError(t, err)
	old, err := b.seal(b.self.encode(), question)
	require.NoError(t, err)
	here, there := net.Pipe()
	go func() {
		_, _, _ = readHello(there) // another question
		_, _ = there.Write(old)
	}()
	_, err = a.ask(here)
	var wrong *KeyError
	require.ErrorAs(t, err, &wrong)
	require.NoError(t, here.Close())
	require.NoError(t, there.Close())
}

// TestHelloOfAnotherRelease receives answers that this release does not know, and answers a
// question that it does not know.
func TestHelloOfAnotherRelease(t *testing.T) {
	g := newGreeter(t, "a")
	later := newHello(helloPlain, []byte("whatever"))
	later[len(helloMagic)] = helloVersion + 1
	for _, answer := range [][]byte{
		later, newHello(helloUnknown, nil), newHello(99, nil), newHello(helloPlain, []byte("short")),
		newHello(helloPlain, make([]byte, longestHello+1)),
	} {
		here, there := net.Pipe()
		go func() {
			_, _, _ = readHello(there)
			_, _ = there.Write(answer)
			_ = there.Close() // errors here show on the other side
		}()
		_, err := g.ask(here)
		var foreign *ForeignError
		require.ErrorAs(t, err, &foreign, "%q", answer)
		require.NotContains(t, err.Error(), "says", "%q", answer)
		require.NoError(t, here.Close())
	}
	for _, question := range [][]byte{later, newHello(99, nil),
		newHello(helloPlain, []byte("short"))} {
		here, there := net.Pipe()
		go func() {
			_, _ = here.Write(question)
		}()
		done := make(chan bool)
		go func() { done <- g.answer(there) }()
		kind, _, err := readHello(here)
		require.NoError(t, err)
		require.Equal(t, helloUnknown, kind)
		_ = here.Close()
		require.False(t, <-done)
		_ = there.Close()
	}
}

// TestStreamsWithoutHello opens streams that do not begin with a hello: memberlist's own, and one
// that stays silent.
func TestStreamsWithoutHello(t *testing.T) {
	nodes := cluster(t, 2, nil)
	a := nodes[0]
	_, err := nodes[1].list.Join([]string{a.Addr()}) // memberlist itself sends no hello
	require.NoError(t, err)
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", a.Addr())
	require.NoError(t, err)
	_, err = c.Write([]byte(helloMagic[:2])) // and then nothing
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.ReadAll(c)
	require.NoError(t, err, "the node hangs up")
	require.NoError(t, c.Close())
	require.NotContains(t, a.log.String(), strings.ToUpper("panic"))
	require.True(t, nodes[1].Send("a", 0, update("b", 1, 10)))
	soon(t, "frames arrive", func() bool { return a.has("b", 0, 1) })
}

func FuzzHello(f *testing.F) {
	f.Add(newHello(helloPlain, greeting{1, 2, "a"}.encode()))
	f.Add(newHello(helloSealed, make([]byte, 60)))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n"))
	f.Add([]byte(helloMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, body, err := readHello(bytes.NewReader(b))
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(body), longestHello)
		if kind != helloUnknown {
			require.True(t, bytes.HasPrefix(b, newHello(kind, body)))
		}
		if who, ok := decodeGreeting(body); ok {
			require.Equal(t, body, who.encode())
		}
	})
}

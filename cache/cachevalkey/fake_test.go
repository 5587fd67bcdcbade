package cachevalkey

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

// A fake is a server that fails as a test says. It knows the commands with which a client connects.
type fake struct {
	addr     string
	cluster  bool
	listener net.Listener
	handlers sync.WaitGroup
	conns    atomic.Int64

	mu     sync.Mutex // guards the following
	answer func(command []string) string
	open   []net.Conn
}

// hang is an answer that never comes, and hangUp one that ends the connection.
const (
	hang   = "hang"
	hangUp = "hang up"
)

func newFake(tb testing.TB, answer func(command []string) string) *fake {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	f := &fake{addr: l.Addr().String(), listener: l, answer: answer}
	f.handlers.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.conns.Add(1)
			f.mu.Lock()
			f.open = append(f.open, conn)
			f.mu.Unlock()
			f.handlers.Go(func() { f.serve(conn) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, conn := range f.open {
			_ = conn.Close()
		}
		f.mu.Unlock()
		f.handlers.Wait()
	})
	return f
}

// set changes what the server answers.
func (f *fake) set(answer func(command []string) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		var reply string
		switch command[0] {
		case "HELLO":
			reply = "%2\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n"
		case "CLIENT":
			reply = "+OK\r\n"
		case "PING":
			reply = "+PONG\r\n"
		case "CLUSTER":
			reply = "-ERR This instance has cluster support disabled\r\n"
			if f.cluster {
				host, port, _ := net.SplitHostPort(f.addr)
				reply = fmt.Sprintf("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n%s:%s\r\n", bulk(host), port)
			}
		default:
			f.mu.Lock()
			answer := f.answer
			f.mu.Unlock()
			reply = answer(command)
		}
		switch reply {
		case hang:
			continue
		case hangUp:
			return
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
	}
}

// readCommand reads an array of bulk strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	number := func(kind byte) (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if line[0] != kind {
			return 0, errors.New("no command")
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number('*')
	if err != nil || n < 1 {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	command := make([]string, n)
	for i := range command {
		size, err := number('$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		command[i] = string(b[:size])
	}
	return command, nil
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func bulks(s ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(s))
	for _, s := range s {
		b.WriteString(bulk(s))
	}
	return b.String()
}

// healthy answers as a server that has a record for each key, which is the key, and an empty log.
func healthy(command []string) string {
	switch command[0] {
	case "EVALSHA", "EVAL":
		switch command[1] {
		case readLog.sha:
			return bulks("=", "100", "1700000000", "5")
		case appendLog.sha:
			return bulk("101")
		}
		return ":1\r\n"
	case "SET":
		return bulk("R0123456789abcdef" + command[1])
	case "UNLINK":
		return ":1\r\n"
	}
	return "-ERR unknown command\r\n"
}

// on returns what healthy answers, but for commands of one name.
func on(name, answer string) func([]string) string {
	return func(command []string) string {
		if command[0] == name {
			return answer
		}
		return healthy(command)
	}
}

// Whatever a server answers, calls fail or do what they can, and work when it answers properly.
func TestStrangeAnswers(t *testing.T) {
	const garbage = "\x00\x01\x02garbage\r\n\r\n"
	for name, broken := range map[string]func([]string) string{
		"garbage for SET":       on("SET", garbage),
		"garbage for EVALSHA":   on("EVALSHA", garbage),
		"hang up":               on("SET", hangUp),
		"truncated":             on("SET", "$100\r\nR01234"),
		"no log":                on("EVALSHA", bulks("=", "100", "1700000000")),
		"empty log":             on("EVALSHA", "*0\r\n"),
		"a number for a log":    on("EVALSHA", ":5\r\n"),
		"nothing for a log":     on("EVALSHA", "_\r\n"),
		"a clock that is none":  on("EVALSHA", bulks("=", "100", "x", "5")),
		"a version too high":    on("EVALSHA", bulks("=", "1e300", "1700000000", "5")),
		"a version that is NaN": on("EVALSHA", bulks("=", "nan", "1700000000", "5")),
		"OOM for all":           on("EVALSHA", "-OOM command not allowed\r\n"),
		"loading":               on("EVALSHA", "-LOADING the dataset\r\n"),
		"read only":             on("SET", "-READONLY You can't write against a read only replica.\r\n"),
		"moved":                 on("SET", "-MOVED 1 127.0.0.1:1\r\n"),
		"no permission":         on("SET", "-NOPERM this user has no permissions\r\n"),
		"NOSCRIPT for ever":     on("EVALSHA", "-NOSCRIPT No matching script.\r\n"),
	} {
		f := newFake(t, broken)
		o := at(f.addr)
		o.Client.ConnWriteTimeout = 200 * time.Millisecond // ends what waits for the rest of a reply
		o.Client.Dialer.KeepAlive = 10 * time.Millisecond
		s := open(t, o)
		if name == "NOSCRIPT for ever" {
			f.set(func(command []string) string {
				if strings.HasPrefix(command[0], "EVAL") {
					return "-NOSCRIPT No matching script.\r\n"
				}
				return healthy(command)
			})
		}
		_, err := s.Read(within(t), []string{"k", "l"}, 0)
		require.Error(t, err, name)
		require.NotErrorIs(t, err, ErrServerTooOld, name)

		f.set(healthy)
		var r cache.Reading
		for ctx := within(t); ; { // a connection that has failed may be noticed late
			if r, err = s.Read(ctx, []string{"k", "l"}, 0); err == nil {
				break
			}
			require.NoError(t, ctx.Err(), name)
		}
		require.Equal(t, "snowfence:1:k:l", string(r.Stored[1].Data), name)
		require.Equal(t, []cache.Invalidation{{Version: 100}}, r.Log)
		require.Equal(t, int64(1_700_000_000_000_005), r.Now.UnixMicro())
	}
}

// A key that fails is left out, and the others are read.
func TestSomeKeysFail(t *testing.T) {
	s := open(t, at(newFake(t, func(command []string) string {
		if command[0] == "SET" && strings.HasSuffix(command[1], "bad") {
			return "-CLUSTERDOWN Hash slot not served\r\n"
		}
		return healthy(command)
	}).addr))
	r := read(t, s, "k", "bad")
	require.Equal(t, "snowfence:1:k:k", string(r.Stored[0].Data))
	require.Nil(t, r.Stored[1].Data)
	require.NoError(t, s.Write(within(t), []cache.Record{{Key: "bad", Fence: r.Stored[1].Fence}}))
	_, err := s.Read(within(t), []string{"bad"}, 0)
	require.ErrorContains(t, err, "CLUSTERDOWN")
}

func TestServerTooOld(t *testing.T) {
	for name, answer := range map[string]func([]string) string{
		"SET":     on("SET", "-ERR syntax error\r\n"),
		"scripts": on("EVALSHA", "-ERR Error compiling script (new function): near '#'\r\n"),
	} {
		s := open(t, at(newFake(t, answer).addr))
		require.ErrorIs(t, s.Check(within(t)), ErrServerTooOld, name)
		_, err := s.Read(within(t), []string{"k"}, 0)
		require.ErrorIs(t, err, ErrServerTooOld, name)
	}
	old := open(t, at(newFake(t, on("EVALSHA", "-ERR Error compiling script\r\n")).addr))
	require.ErrorIs(t, old.Write(within(t), []cache.Record{{Key: "k"}}), ErrServerTooOld)
	require.ErrorIs(t, old.Delete(within(t), []string{"k"}), ErrServerTooOld)
}

// Replies that come when the caller has left are not taken for those of the next call.
func TestSlowServer(t *testing.T) {
	release := make(chan struct{})
	var slow atomic.Bool
	f := newFake(t, func(command []string) string {
		if slow.Load() {
			<-release
		}
		return healthy(command)
	})
	s := open(t, at(f.addr))
	read(t, s, "k")
	slow.Store(true)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(within(t), time.Millisecond)
		_, err := s.Read(ctx, []string{fmt.Sprint("slow", i)}, 0)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	slow.Store(false)
	close(release)
	for i := range 20 {
		key := fmt.Sprint("fast", i)
		require.Equal(t, "snowfence:1:k:"+key, string(read(t, s, key).Stored[0].Data))
	}
}

// A cluster whose servers send callers around is no endless loop.
func TestMovedForEver(t *testing.T) {
	var moved atomic.Int64
	f := newFake(t, healthy)
	f.cluster = true
	f.set(func(command []string) string {
		if command[0] == "SET" {
			moved.Add(1)
			return "-MOVED 1 " + f.addr + "\r\n"
		}
		return healthy(command)
	})
	s := open(t, at(f.addr))
	_, err := s.Read(within(t), []string{"k"}, 0)
	require.ErrorContains(t, err, "MOVED")
	require.LessOrEqual(t, moved.Load(), int64(2*defaultRedirections))
	f.set(healthy)
	read(t, s, "k")
}

// A server that takes connections and hangs makes no crowd of them.
func TestFewConnections(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // nobody accepts
	require.NoError(t, err)
	defer l.Close()
	o := at(l.Addr().String())
	o.Client.Dialer.Timeout = 100 * time.Millisecond
	s := open(t, o)
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			if _, err := s.Read(within(t), []string{"k"}, 0); err == nil {
				t.Error("it was read")
			}
		})
	}
	callers.Wait()
	f := newFake(t, func([]string) string { return hang })
	s = open(t, at(f.addr))
	ctx, cancel := context.WithTimeout(within(t), 50*time.Millisecond)
	defer cancel()
	for range 1000 {
		callers.Go(func() {
			_, err := s.Read(ctx, []string{"k"}, 0)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	require.LessOrEqual(t, f.conns.Load(), int64(8))
}

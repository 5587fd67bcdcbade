package valkeytest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/valkey-io/valkey-go"
)

// startTimeout bounds the wait until a server that has started answers.
const startTimeout = 20 * time.Second

// stopTimeout bounds the wait until a server that was asked to end has ended.
const stopTimeout = 10 * time.Second

// ErrNotInstalled is returned if PATH has neither valkey-server nor redis-server.
var ErrNotInstalled = errors.New("valkeytest: neither valkey-server nor redis-server is in PATH")

// Options say how a server runs. The zero value is a server without TLS and persistence.
type Options struct {
	TLS     bool // the port speaks TLS and demands a client certificate, see Server.TLS
	Unix    bool // it listens at a Unix socket too, see Server.Socket
	Persist bool // each write is on disk before it is acknowledged, and Restart keeps the data

	// Args are more arguments of the server, for example "--maxmemory", "2mb".
	Args []string
}

// A Server is a server process, which may be running or not. Its methods are safe for concurrent
// use.
type Server struct {
	path    string
	dir     string
	args    []string
	port    int
	busPort int // of the cluster bus; 0: no cluster
	tls     *tls.Config

	mu      sync.Mutex // guards the fields below; held while the process starts or ends
	process *os.Process
	gone    chan struct{} // closed when the process has ended
}

// Find returns the path of the server program that Start would run.
func Find() (path string, ok bool) {
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// Start starts a server and waits until it answers. The caller must call Close.
func Start(ctx context.Context, o Options) (*Server, error) {
	return start(ctx, o, false)
}

func start(ctx context.Context, o Options, cluster bool) (*Server, error) {
	path, ok := Find()
	if !ok {
		return nil, ErrNotInstalled
	}
	const attempts = 5 // another process may take a port that was free
	for i := 1; ; i++ {
		s, err := prepare(path, o, cluster)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		err = s.launch(ctx)
		s.mu.Unlock()
		if err == nil {
			return s, nil
		}
		_ = s.Close()
		if i == attempts || ctx.Err() != nil || !portTaken(err) {
			return nil, err
		}
	}
}

// prepare makes a server's directory and arguments.
func prepare(path string, o Options, cluster bool) (*Server, error) {
	dir, err := os.MkdirTemp("", "valkeytest")
	if err != nil {
		return nil, fmt.Errorf("valkeytest: %w", err)
	}
	s := &Server{path: path, dir: dir}
	if s.port, err = freePort(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	port := strconv.Itoa(s.port)
	s.args = []string{"--bind", "127.0.0.1", "--dir", dir, "--daemonize", "no", "--save", ""}
	if o.Persist {
		s.args = append(s.args, "--appendonly", "yes", "--appendfsync", "always")
	}
	if o.Unix {
		s.args = append(s.args, "--unixsocket", s.Socket())
	}
	if !o.TLS {
		s.args = append(s.args, "--port", port)
	} else {
		if s.tls, err = writeCertificates(dir); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		s.args = append(s.args, "--port", "0", "--tls-port", port, "--tls-auth-clients", "yes",
			"--tls-cert-file", filepath.Join(dir, certFile), "--tls-key-file",
			filepath.Join(dir, keyFile), "--tls-ca-cert-file", filepath.Join(dir, caFile))
	}
	if cluster {
		if s.busPort, err = freePort(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		s.args = append(s.args, "--cluster-enabled", "yes",
			"--cluster-port", strconv.Itoa(s.busPort), "--cluster-node-timeout", "2000",
			"--cluster-require-full-coverage", "no")
	}
	s.args = append(s.args, o.Args...)
	return s, nil
}

// freePort returns a port that no process uses. It is below those that systems give to outgoing
// connections, so that it is still free when a server starts again.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 10_000 + rand.IntN(22_000)
		var l net.Listener
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err = net.Listen("tcp", addr); err == nil { //nolint:noctx // it does not block
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("valkeytest: no free port: %w", err)
}

// Addr returns host:port of the server.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Socket returns the path of the Unix socket of a server with Options.Unix.
func (s *Server) Socket() string { return filepath.Join(s.dir, "socket") }

// TLS returns what a client needs to connect to a server with Options.TLS, and otherwise nil.
func (s *Server) TLS() *tls.Config { return s.tls.Clone() }

// launch starts the process and waits until it answers. s.mu is locked.
func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	output, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return fmt.Errorf("valkeytest: %w", err)
	}
	defer output.Close()
	cmd := exec.Command(s.path, s.args...) //nolint:gosec,noctx // outlives ctx; ended by Close
	cmd.Stdout, cmd.Stderr = output, output
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("valkeytest: %w", err)
	}
	gone := make(chan struct{})
	s.process, s.gone = cmd.Process, gone
	go func() { // until the process ends
		_ = cmd.Wait()
		close(gone)
	}()
	for {
		if _, err = s.Do(ctx, "PING"); err == nil {
			return nil
		}
		select {
		case <-gone:
			return fmt.Errorf("valkeytest: the server has ended: %s", s.log())
		case <-ctx.Done():
			s.end(syscall.SIGKILL)
			return fmt.Errorf("valkeytest: no answer from the server: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// portTaken reports whether a server has ended since its port was in use.
func portTaken(err error) bool {
	return strings.Contains(err.Error(), "Address already in use") ||
		strings.Contains(err.Error(), "Failed listening on port")
}

// log returns the end of what the server has written.
func (s *Server) log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}

// Do sends a command to the server on a connection of its own and returns the reply.
func (s *Server) Do(ctx context.Context, command ...string) (any, error) {
	dialer := net.Dialer{Timeout: startTimeout}
	if end, ok := ctx.Deadline(); ok {
		dialer.Timeout = max(time.Millisecond, time.Until(end))
	}
	c, err := valkey.NewClient(valkey.ClientOption{
		InitAddress:        []string{s.Addr()},
		Dialer:             dialer,
		TLSConfig:          s.tls,
		ForceSingleClient:  true,
		DisableRetry:       true,
		DisableCache:       true,
		RingScaleEachConn:  1,
		ReadBufferEachConn: 1 << 12, WriteBufferEachConn: 1 << 12,
	})
	if err != nil {
		return nil, fmt.Errorf("valkeytest: %w", err)
	}
	defer c.Close()
	reply, err := c.Do(ctx, c.B().Arbitrary(command...).Build()).ToAny()
	if err != nil && !valkey.IsValkeyNil(err) {
		return nil, fmt.Errorf("valkeytest: %s: %w", command[0], err)
	}
	return reply, nil
}

// Stop ends the server in good order (SIGTERM), or kills it if that takes too long.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGTERM)
}

// Kill kills the server (SIGKILL), also if it is paused.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGKILL)
}

// end sends a signal to the process and waits until it is gone. s.mu is locked.
func (s *Server) end(signal os.Signal) {
	if s.process == nil {
		return
	}
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	if err := s.process.Signal(signal); err == nil {
		select {
		case <-s.gone:
		case <-late.C:
		}
	}
	_ = s.process.Kill() // it fails if the process has ended
	<-s.gone
	s.process = nil
}

// Restart kills the server if it runs, and starts it at the same address. It is empty then, unless
// it has Options.Persist.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(syscall.SIGKILL)
	for {
		err := s.launch(ctx)
		if err == nil || ctx.Err() != nil || !portTaken(err) {
			return err
		}
		s.end(syscall.SIGKILL)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Close kills the server and removes its directory.
func (s *Server) Close() error {
	s.Kill()
	return os.RemoveAll(s.dir)
}

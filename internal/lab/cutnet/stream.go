package cutnet

import (
	"net"
	"sync"
)

// A stream is the opener's end of one. The other end needs none: to reset one end resets both.
type stream struct {
	net.Conn
	network  *Network
	from, to string
	once     sync.Once
	err      error // of closing; written within once
}

// open enters a connection, or closes it if the link was cut while it was made.
func (n *Network) open(from, to string, c net.Conn) (net.Conn, error) {
	s := &stream{Conn: c, network: n, from: from, to: to}
	n.mu.Lock()
	if n.either(from, to) {
		n.of(from, to).Refused++
		n.mu.Unlock()
		s.reset()
		return nil, cutError(c.RemoteAddr())
	}
	n.streams[s] = struct{}{}
	n.of(from, to).Streams++
	n.mu.Unlock()
	return s, nil
}

func (s *stream) Read(b []byte) (int, error) {
	k, err := s.Conn.Read(b)
	s.count(s.to, s.from, k)
	return k, err
}

func (s *stream) Write(b []byte) (int, error) {
	k, err := s.Conn.Write(b)
	s.count(s.from, s.to, k)
	return k, err
}

func (s *stream) count(from, to string, k int) {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	s.network.of(from, to).StreamBytes += uint64(k)
}

func (s *stream) Close() error {
	s.network.mu.Lock()
	delete(s.network.streams, s)
	s.network.mu.Unlock()
	s.once.Do(func() { s.err = s.Conn.Close() })
	return s.err
}

// reset closes so that what was written but has not arrived never will.
func (s *stream) reset() {
	s.once.Do(func() {
		if tcp, ok := s.Conn.(*net.TCPConn); ok {
			s.err = tcp.SetLinger(0)
		}
		if err := s.Conn.Close(); s.err == nil {
			s.err = err
		}
	})
}

// Package fakenames implements a name service in memory, for tests in which names change.
package fakenames

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
)

// A Service knows the names that are set. Its methods may be called at the same time.
type Service struct {
	mu      sync.Mutex // guards all below
	hosts   map[string][]netip.Addr
	srv     map[string][]*net.SRV
	lookups int
}

// New returns a service that knows no name.
func New() *Service {
	return &Service{hosts: make(map[string][]netip.Addr), srv: make(map[string][]*net.SRV)}
}

// SetHost sets the IP addresses of a host; none: there is no such host.
func (s *Service) SetHost(host string, ips ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[host] = nil
	for _, ip := range ips {
		s.hosts[host] = append(s.hosts[host], netip.MustParseAddr(ip))
	}
}

// SetSRV sets the SRV records of a name by the addresses that they stand for; none: there is no
// such name.
func (s *Service) SetSRV(name string, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.srv[name] = nil
	for _, addr := range addrs {
		a := netip.MustParseAddrPort(addr)
		s.srv[name] = append(s.srv[name], &net.SRV{Target: a.Addr().String(), Port: a.Port()})
	}
}

// Lookups returns the number of lookups of a name.
func (s *Service) Lookups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lookups
}

// LookupNetIP returns the addresses of a host.
func (s *Service) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if len(s.hosts[host]) == 0 {
		return nil, notFound(host)
	}
	return slices.Clone(s.hosts[host]), nil
}

// LookupSRV returns the records of a name.
func (s *Service) LookupSRV(
	_ context.Context, service, proto, name string,
) (string, []*net.SRV, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups++
	if service != "" || proto != "" || len(s.srv[name]) == 0 {
		return "", nil, notFound(name)
	}
	return name + ".", slices.Clone(s.srv[name]), nil
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, Server: "the test's", IsNotFound: true}
}

// Port returns the port of an address, as text.
func Port(addr string) string {
	return strconv.Itoa(int(netip.MustParseAddrPort(addr).Port()))
}

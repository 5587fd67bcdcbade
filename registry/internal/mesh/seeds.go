package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A NameService looks up the addresses of the names among the seeds; a [*net.Resolver] is one. Its
// methods may be called at the same time, and must return when the context ends.
type NameService interface {
	// LookupNetIP returns the addresses of a host; network is "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)

	// LookupSRV returns the SRV records of a name; service and proto are empty.
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// srvPrefix goes before a name that is looked up for SRV records.
const srvPrefix = "dnssrv+"

// SeedForms describes the forms of a seed, for errors.
const SeedForms = "host:port or dnssrv+name"

// Bounds of a lookup.
const (
	maxLookups    = 16 // names that are looked up at a time
	lookupTimeout = 5 * time.Second
)

// A seed stands for addresses of nodes: one address, all those of a host name, or the targets of a
// name's SRV records. It stays a name for as long as the node runs.
type seed struct {
	text string // as it was given
	host string
	port uint16 // 0: host is a name with SRV records
}

// parseSeed parses a seed. Its error reads well after "want " and SeedForms.
func parseSeed(text string) (seed, error) {
	if name, ok := strings.CutPrefix(text, srvPrefix); ok {
		if name == "" {
			return seed{}, errors.New("it has no name")
		}
		return seed{text: text, host: name}, nil
	}
	host, port, err := net.SplitHostPort(text)
	var bad *net.AddrError
	switch {
	case err != nil && !strings.Contains(strings.TrimSuffix(text, ":"), ":"):
		return seed{}, errors.New("it has no port")
	case errors.As(err, &bad):
		return seed{}, errors.New(bad.Err)
	case err != nil:
		return seed{}, err
	case host == "":
		return seed{}, errors.New("it has no host")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return seed{}, fmt.Errorf("its port %q is not within 1 to 65535", port)
	}
	return seed{text, host, uint16(n)}, nil
}

// SeedHost returns the host of a seed, empty if that stands for SRV records. The error says what is
// wrong with the seed, to be read after "want " and SeedForms.
func SeedHost(text string) (host string, err error) {
	s, err := parseSeed(text)
	if err != nil || s.port == 0 {
		return "", err
	}
	return s.host, nil
}

// literal returns the address of a seed that needs no lookup.
func (s seed) literal() (addr string, ok bool) {
	ip, err := netip.ParseAddr(s.host)
	if err != nil || s.port == 0 {
		return "", false
	}
	return netip.AddrPortFrom(ip.Unmap(), s.port).String(), true
}

// lookUp returns the addresses that a seed stands for now. The error is [ErrNoAddress]. It blocks
// for lookupTimeout at the most.
func (s seed) lookUp(ctx context.Context, names NameService) ([]string, error) {
	if addr, ok := s.literal(); ok {
		return []string{addr}, nil
	}
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if s.port != 0 {
		return addresses(limited, names, s.host, s.port)
	}
	_, records, err := names.LookupSRV(limited, "", "", s.host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAddress, err)
	}
	found := make([][]string, len(records))
	errs := make([]error, len(records))
	each(len(records), func(i int) {
		host := strings.TrimSuffix(records[i].Target, ".")
		found[i], errs[i] = addresses(limited, names, host, records[i].Port)
	})
	var all []string
	for _, addrs := range found {
		all = append(all, addrs...)
	}
	switch {
	case len(all) > 0:
		return all, nil // one target of many may have gone
	case len(errs) > 0:
		return nil, errs[0]
	}
	return nil, ErrNoAddress
}

// addresses returns the addresses of a host, with a port. The error is [ErrNoAddress].
func addresses(
	ctx context.Context, names NameService, host string, port uint16,
) (addrs []string, err error) {
	ips, err := names.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAddress, err)
	}
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), port).String())
	}
	if len(addrs) == 0 {
		return nil, ErrNoAddress
	}
	return addrs, nil
}

// each calls f for 0 to n-1, up to maxLookups at a time, and waits for all.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			f(i)
			<-slots
		})
	}
	wg.Wait()
}

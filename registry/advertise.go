package registry

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// advertised returns the address that other nodes use, see [Config].AdvertiseAddr; none if the
// transport chooses it. The error is a [*ConfigError].
func (c Config) advertised() (string, error) {
	if c.AdvertiseAddr != "" || c.Transport != nil || !net.ParseIP(c.BindAddr).IsUnspecified() {
		return c.AdvertiseAddr, nil
	}
	own, err := interfaceAddrs()
	if err != nil {
		want := fmt.Sprintf("an address, since those of this machine can't be read: %v", err)
		return "", &ConfigError{"AdvertiseAddr", `""`, want}
	}
	addr, ok := chooseAdvertised(own, routeSource())
	if !ok {
		want := "an address, since this machine has no IPv4 address that others can reach"
		return "", &ConfigError{"AdvertiseAddr", `""`, want}
	}
	return addr.String(), nil
}

// chooseAdvertised returns the IPv4 address to advertise, of own, the addresses of this machine in
// the order of its interfaces. source is the address from which it sends to remote ones, if there
// is a route.
func chooseAdvertised(own []netip.Addr, source netip.Addr) (netip.Addr, bool) {
	var usable, private []netip.Addr
	for _, a := range own {
		if !a.Is4() || !a.IsGlobalUnicast() {
			continue
		}
		usable = append(usable, a)
		if a.IsPrivate() {
			private = append(private, a)
		}
	}
	for _, list := range [][]netip.Addr{private, usable} {
		switch {
		case slices.Contains(list, source):
			return source, true
		case len(list) > 0:
			return list[0], true
		}
	}
	return netip.Addr{}, false
}

// interfaceAddrs returns the addresses of all interfaces that are up.
func interfaceAddrs() (own []netip.Addr, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				own = append(own, prefix.Addr().Unmap())
			}
		}
	}
	return own, nil
}

// routeSource returns the IPv4 address from which this machine sends to remote addresses.
// Connecting a UDP socket sends nothing, and no node has that address (RFC 5737).
func routeSource() netip.Addr {
	c, err := new(net.Dialer).DialContext(context.Background(), "udp4", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}
	}
	defer func() { _ = c.Close() }() // nothing was sent
	source, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return source.Addr().Unmap()
}

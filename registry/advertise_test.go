package registry

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichAddressIsAdvertised(t *testing.T) {
	for _, x := range []struct {
		what, source string
		own          []string
		want         string // empty: none
	}{
		{"the private one from which it sends", "10.0.0.7",
			[]string{"127.0.0.1", "172.17.0.1", "10.0.0.7"}, "10.0.0.7"},
		{"the first private one", "198.51.100.4",
			[]string{"127.0.0.1", "198.51.100.4", "10.1.0.1", "10.2.0.1"}, "10.1.0.1"},
		{"without a route", "", []string{"10.1.0.1", "10.2.0.1"}, "10.1.0.1"},
		{"a public one if there is no private one", "203.0.113.9",
			[]string{"198.51.100.4", "203.0.113.9"}, "203.0.113.9"},
		{"the first public one without a route", "", []string{"198.51.100.4", "203.0.113.9"},
			"198.51.100.4"},
		{"never IPv6, which 0.0.0.0 does not listen on", "",
			[]string{"fd00::1", "2001:db8::1", "10.0.0.7"}, "10.0.0.7"},
		{"neither loopback nor link-local", "", []string{"127.0.0.1", "169.254.1.1", "fd00::1"}, ""},
		{"nothing", "", nil, ""},
	} {
		t.Run(x.what, func(t *testing.T) {
			var own []netip.Addr
			for _, a := range x.own {
				own = append(own, netip.MustParseAddr(a))
			}
			var source netip.Addr
			if x.source != "" {
				source = netip.MustParseAddr(x.source)
			}
			got, ok := chooseAdvertised(own, source)
			require.Equal(t, x.want != "", ok)
			if ok {
				require.Equal(t, x.want, got.String())
			}
		})
	}
	for bind, want := range map[string]string{"127.0.0.1": "", "10.0.0.7": ""} {
		got, err := Config{BindAddr: bind}.advertised()
		require.NoError(t, err)
		require.Equal(t, want, got, "the transport's own")
	}
	got, err := Config{BindAddr: "0.0.0.0", AdvertiseAddr: "192.0.2.1"}.advertised()
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1", got)
}

package registry

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConfigIsChecked(t *testing.T) {
	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{NodeName: strings.Repeat("n", 129)}, "NodeName: \"" + strings.Repeat("n", 80) +
			"\"... (129 bytes): want 1 to 128 bytes of UTF-8"},
		{Config{NodeName: "\xff"}, `NodeName: "\xff": want 1 to 128 bytes of UTF-8`},
		{Config{Cluster: strings.Repeat("c", 129)}, "Cluster: \"" + strings.Repeat("c", 80) +
			"\"... (129 bytes): want 1 to 128 bytes"},
		{Config{BindAddr: "example.org"}, `BindAddr: "example.org": want an IP address`},
		{Config{BindPort: 65536}, "BindPort: 65536: want 0 (the kernel chooses) to 65535"},
		{Config{BindPort: -1}, "BindPort: -1: want 0 (the kernel chooses) to 65535"},
		{Config{AdvertiseAddr: "here"}, `AdvertiseAddr: "here": want an IP address`},
		{Config{AdvertiseAddr: "0.0.0.0"},
			"AdvertiseAddr: 0.0.0.0: want an address at which others reach this node"},
		{Config{AdvertiseAddr: "::"},
			"AdvertiseAddr: ::: want an address at which others reach this node"},
		{Config{AdvertiseAddr: "224.0.0.1"},
			"AdvertiseAddr: 224.0.0.1: want an address at which others reach this node"},
		{Config{AdvertiseAddr: "ff02::1"},
			"AdvertiseAddr: ff02::1: want an address at which others reach this node"},
		{Config{AdvertiseAddr: "255.255.255.255"},
			"AdvertiseAddr: 255.255.255.255: want an address at which others reach this node"},
		{Config{BindAddr: "224.0.0.1"},
			"BindAddr: 224.0.0.1: want an address of this machine, not a multicast one"},
		{Config{BindAddr: "::"}, `AdvertiseAddr: "": want an address at which others reach this node, since BindAddr is ::`},
		{Config{AdvertisePort: 7946}, "AdvertisePort: 7946: want AdvertiseAddr as well"},
		{Config{BindAddr: "0.0.0.0"},
			`Cluster: "": want a name of its own, since other machines can reach 0.0.0.0 and no Keys are set`},
		{Config{AdvertiseAddr: "192.0.2.1"},
			`Cluster: "": want a name of its own, since other machines can reach 192.0.2.1 and no Keys are set`},
		{Config{AdvertisePort: -1}, "AdvertisePort: -1: want 0 (the port listened on) to 65535"},
		{Config{Partitions: -1}, "Partitions: -1: want 1 to 4096"},
		{Config{Partitions: 4097}, "Partitions: 4097: want 1 to 4096"},
		{Config{MaxMeta: 65536}, "MaxMeta: 65536: want 0 (the default) to 65535"},
		{Config{MaxMeta: -1}, "MaxMeta: -1: want 0 (the default) to 65535"},
		{Config{QueueSize: -1}, "QueueSize: -1: want 0 (the default) or more"},
		{Config{MaxClockSkew: -1}, "MaxClockSkew: -1ns: want 0 (the default) or more"},
		{Config{SyncTimeout: -1}, "SyncTimeout: -1ns: want 0 (the default) or more"},
		{Config{GossipInterval: -1}, "GossipInterval: -1ns: want 0 (the default) or more"},
		{Config{ProbeInterval: -1}, "ProbeInterval: -1ns: want 0 (the default) or more"},
		{Config{ProbeTimeout: -1}, "ProbeTimeout: -1ns: want 0 (the default) or more"},
		{Config{ProbeTimeout: 2 * time.Second}, "ProbeTimeout: 2s: want at most ProbeInterval (1s)"},
		{Config{SuspicionMult: -1}, "SuspicionMult: -1: want 0 (the default) or more"},
		{Config{ProbeInterval: time.Second, Preset: WAN, ProbeTimeout: 2 * time.Second},
			"ProbeTimeout: 2s: want at most ProbeInterval (1s)"},
		{Config{RejoinInterval: -1}, "RejoinInterval: -1ns: want 0 (the default) or more"},
		{Config{Preset: 3}, "Preset: 3: want LAN, WAN or Loopback"},
		{Config{Resolver: NewResolver("mine", nil)},
			`Resolver: "mine": want a function to compare with, not nil`},
		{Config{Resolver: NewResolver("", KeepNewest.Compare)},
			`Resolver: "": want a name of 1 to 128 bytes`},
		{Config{Keys: [][]byte{make([]byte, 16), make([]byte, 17)}},
			"Keys[1]: 17 bytes: want 16, 24 or 32 bytes"},
		{Config{Seeds: []string{"127.0.0.1:1", "host"}},
			`Seeds[1]: "host": want host:port or dnssrv+name: it has no port`},
		{Config{Seeds: []string{":7946"}},
			`Seeds[0]: ":7946": want host:port or dnssrv+name: it has no host`},
		{Config{Seeds: []string{"host:70000"}},
			`Seeds[0]: "host:70000": want host:port or dnssrv+name: its port "70000" is not within 1 to 65535`},
		{Config{Seeds: []string{"dnssrv+"}},
			`Seeds[0]: "dnssrv+": want host:port or dnssrv+name: it has no name`},
		{Config{Seeds: []string{"::1"}},
			`Seeds[0]: "::1": want host:port or dnssrv+name: too many colons in address`},
		{Config{Seeds: []string{"10.0.0.1:7946"}},
			"BindAddr: 127.0.0.1: want an address that other machines can reach, since Seeds[0] is " +
				"10.0.0.1:7946"},
	} {
		r, err := Open(t.Context(), test.config)
		require.Nil(t, r)
		require.EqualError(t, err, "registry: Config."+test.want)
		var c *ConfigError
		require.ErrorAs(t, err, &c)
	}
}

func TestConfigDefaults(t *testing.T) {
	c := Config{}.withDefaults()
	require.NoError(t, c.validate())
	require.Equal(t, "127.0.0.1", c.BindAddr)
	require.Equal(t, 16, c.Partitions)
	require.Equal(t, KeepNewest, c.Resolver)
	require.NotEqual(t, c.NodeName, Config{}.withDefaults().NodeName, "on one machine")
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Regexp(t, "^"+host+"-[0-9a-f]{8}$", c.NodeName)
	require.Equal(t, net.JoinHostPort(host, "7946"), Config{BindPort: 7946}.withDefaults().NodeName)
	open := Config{BindAddr: "0.0.0.0", Cluster: "mine", Seeds: []string{"10.0.0.1:1"}}.withDefaults()
	require.NoError(t, open.validate())
	require.True(t, open.openToStrangers())
	locked := Config{BindAddr: "0.0.0.0", Keys: [][]byte{make([]byte, 16)}}.withDefaults()
	require.NoError(t, locked.validate())
	require.Equal(t, DefaultCluster, locked.Cluster, "nodes without a key are not admitted")
	require.False(t, locked.openToStrangers())
}

func TestPresets(t *testing.T) {
	for p, want := range map[Preset]Config{
		LAN: {
			GossipInterval: 50 * ms, ProbeInterval: time.Second, ProbeTimeout: 500 * ms,
			SuspicionMult: 4, RejoinInterval: 5 * time.Second,
		},
		WAN: {
			GossipInterval: 200 * ms, ProbeInterval: 5 * time.Second, ProbeTimeout: 2500 * ms,
			SuspicionMult: 6, RejoinInterval: 15 * time.Second,
		},
		Loopback: {
			GossipInterval: 10 * ms, ProbeInterval: 200 * ms, ProbeTimeout: 100 * ms,
			SuspicionMult: 3, RejoinInterval: 200 * ms,
		},
	} {
		want.Preset = p
		require.Equal(t, want, Config{Preset: p}.withPreset(), p)
		own := Config{
			Preset: p, GossipInterval: 1, ProbeInterval: 3, ProbeTimeout: 2, SuspicionMult: 4,
			RejoinInterval: 5,
		}
		require.Equal(t, own, own.withPreset(), "fields that are set keep their values")
		require.Equal(t, time.Duration(20),
			Config{Preset: p, ProbeInterval: 40}.withPreset().ProbeTimeout)
	}
	require.Equal(t, "WAN", WAN.String())
	require.Equal(t, "Preset(7)", Preset(7).String())
}

func TestZeroConfig(t *testing.T) {
	r, err := Open(t.Context(), Config{})
	require.NoError(t, err)
	require.Len(t, r.Members(), 1)
	require.NoError(t, r.Close())
}

package cluster_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/registry/group"
)

// addressOf returns a node's address, from the metadata of its membership.
func addressOf(t *testing.T, n *node) peer.Address {
	t.Helper()
	groups, err := group.Open(t.Context(), n.registry)
	require.NoError(t, err)
	for _, m := range groups.Members("cache/" + cluster.DefaultName) {
		var info struct{ URL, Run string }
		require.NoError(t, json.Unmarshal(m.Meta, &info))
		if m.Node == n.name {
			incarnation, err := strconv.ParseUint(info.Run, 16, 64)
			require.NoError(t, err)
			return peer.Address{Node: n.name, URL: info.URL, Incarnation: incarnation}
		}
	}
	t.Fatal("it is no member")
	return peer.Address{}
}

// A node that is asked for a key of another owner, by a node that sees other members, answers with
// that owner. It loads nothing and asks nobody, so no request goes in a circle.
func TestAskedForWhatItDoesNotOwn(t *testing.T) {
	forEachOwnership(t, func(t *testing.T, ownership cluster.Ownership) {
		var from origin
		nodes := start(t, 3, &from, func(_ int, o *cluster.Options[string]) {
			o.Ownership, o.Slots = ownership, 16
		})
		client := peer.NewClient(peerConfig("stranger", 7), peer.DefaultTransport(nil))
		defer client.Close()
		served, misplaced := 0, 0
		for i := range 30 {
			key := strconv.Itoa(i)
			_, err := nodes[0].Fetch(t.Context(), key)
			require.NoError(t, err)
			hint := ""
			for _, n := range nodes {
				v, err := client.Fetch(t.Context(), addressOf(t, n), key, nil)
				var elsewhere *peer.MisplacedError
				switch {
				case err == nil:
					require.Equal(t, key+"#1", string(v.Data))
					require.True(t, hint == "" || hint == n.name, "the hint was %q", hint)
					hint = n.name
					served++
				case errors.As(err, &elsewhere):
					require.NotEqual(t, n.name, elsewhere.Owner)
					require.True(t, hint == "" || hint == elsewhere.Owner, "%q or %q", hint, elsewhere.Owner)
					hint = elsewhere.Owner
					misplaced++
				default:
					t.Fatal(err)
				}
			}
		}
		require.Equal(t, 30, served)
		require.Equal(t, 60, misplaced)
		require.EqualValues(t, 30, from.total.Load(), "no node loaded in another's place")
	})
}

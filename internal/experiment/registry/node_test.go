package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry"
)

var quick = nodeConfig{
	Name: "node-01", Partitions: 2,
	Params: Params{Gossip: 20 * time.Millisecond, Probe: 50 * time.Millisecond},
}

// A node in this process and one in another answer alike.
func TestNode(t *testing.T) {
	for name, command := range map[string][]string{"local": nil, "process": nodeProcess(t)} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			n, addr, err := open(ctx, command, quick)
			require.NoError(t, err)
			port, err := portOf(addr)
			require.NoError(t, err)
			require.Positive(t, port)

			register := func(ctx context.Context, name string, id claimID) (response, error) {
				return n.do(ctx, request{Op: opRegister, Name: name, Claim: id})
			}
			does := func(r request) response {
				t.Helper()
				a, err := n.do(ctx, r)
				require.NoError(t, err)
				return a
			}
			a, err := register(ctx, "a", 7)
			require.NoError(t, err)
			require.Equal(t, alive, a.State)
			require.Positive(t, a.Time.Nanos)
			again, err := register(ctx, "a", 8)
			require.NoError(t, err)
			require.Equal(t, refused, again.State)
			_, err = register(ctx, "", 9)
			require.ErrorContains(t, err, "name of 0 bytes")
			gone, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
			_, err = register(gone, "late", 10)
			require.ErrorContains(t, err, context.DeadlineExceeded.Error())
			cancel()

			require.Equal(t, map[string]claimID{"a": 7}, does(request{Op: opView}).View)
			o := does(request{Op: opObserve}).Observation
			require.True(t, o.Full, "the first is the whole view")
			require.Equal(t, claimID(7), o.Changes[0].ID)
			require.Equal(t, 1, o.Count.Names)

			does(request{Op: opRelease, Claim: 7})
			_, err = n.do(ctx, request{Op: opRelease, Claim: 99})
			require.ErrorContains(t, err, registry.ErrConflict.Error(), "it is not held")
			does(request{Op: opCut, Addrs: []string{"127.0.0.1:1"}})
			require.Eventually(t, func() bool {
				a, err := n.do(ctx, request{Op: opObserve})
				o := a.Observation
				last := len(o.Changes) - 1 // the registration may come first, late
				return err == nil && !o.Full && last >= 0 && o.Changes[last].Name == "a" &&
					o.Changes[last].ID == 0 && len(o.Lost) == 0
			}, 10*time.Second, time.Millisecond, "a release is a change of the view and no loss")
			if _, err := n.do(ctx, request{Op: opSkew, Skew: time.Hour}); err == nil {
				late, err := register(ctx, "b", 11)
				require.NoError(t, err)
				require.Greater(t, late.Time.Time().Sub(a.Time.Time()), 50*time.Minute)
			}
			require.NoError(t, n.close())
			_, err = register(ctx, "c", 12)
			require.Error(t, err)
		})
	}
}

// A port that is in use is said to be.
func TestPortInUse(t *testing.T) {
	a, addr, err := open(t.Context(), nil, quick)
	require.NoError(t, err)
	c := quick
	c.Name = "node-02"
	c.Port, err = portOf(addr)
	require.NoError(t, err)
	_, _, err = open(t.Context(), nil, c)
	require.ErrorContains(t, err, "node node-02: listening: ")
	_, _, err = open(t.Context(), nodeProcess(t), c)
	require.ErrorContains(t, err, "node node-02: listening: ")

	// A seed that does not answer.
	require.NoError(t, a.close())
	c.Port, c.Seeds = 0, []string{addr}
	_, _, err = open(t.Context(), nil, c)
	var join *registry.JoinError
	require.ErrorAs(t, err, &join)
}

func TestServe(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"rubbish\n", "request: invalid character"},
		{`{"id": 1, "op": "view"}`, `request "view": the node is not open; "open" comes first`},
	} {
		var out bytes.Buffer
		err := Serve(strings.NewReader(tt.in), &out)
		if tt.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, tt.want)
		}
		require.Empty(t, out.String())
	}

	config, err := json.Marshal(quick)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, Serve(strings.NewReader(`{"id":1,"op":"open","config":`+string(config)+"}\n"+
		`{"id":2,"op":"dance"}`), &out))
	answers := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, answers, 2)
	require.Contains(t, answers[0], `"addr":"127.0.0.1:`)
	require.Contains(t, answers[1], `{"id":2,"error":"unknown operation \"dance\""}`)
}

func TestTotals(t *testing.T) {
	a := Totals{Gaps: 5, WireBytes: 10, Sent: Messages{Updates: 3, Chunks: 1}}
	b := Totals{Gaps: 2, WireBytes: 20, Sent: Messages{Updates: 1}}
	require.Equal(t, Totals{Gaps: 3, Sent: Messages{Updates: 2, Chunks: 1}}, a.since(b),
		"a counter that began anew is not negative")
	a.add(b)
	require.Equal(t, Totals{Gaps: 7, WireBytes: 30, Sent: Messages{Updates: 4, Chunks: 1}}, a)
	require.Equal(t, uint64(5), a.Sent.all())
}

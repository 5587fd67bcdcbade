package scale

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	measure = flag.Bool(
		"scale",
		false,
		"make the tables and curves of docs/scale.md (minutes, 3 GiB)",
	)
	out  = flag.String("scale.out", "", "write the curves into this `folder`")
	most = flag.Int("scale.nodes", 1000, "leave out clusters of more nodes")
)

// computed lists nodes and names of the second table.
var computed = [][2]int{
	{16, 100_000}, {100, 100_000}, {1000, 100_000}, {16, 10_000_000}, {100, 10_000_000},
	{1000, 10_000_000},
}

func TestScale(t *testing.T) {
	if !*measure {
		t.Skip("takes minutes; run it with -scale")
	}
	plan := DefaultPlan
	for len(plan.Nodes) > 0 && plan.Nodes[len(plan.Nodes)-1] > *most {
		plan.Nodes = plan.Nodes[:len(plan.Nodes)-1]
	}
	m := Measure()
	t.Logf("%+v", m)
	results, err := plan.Simulate(func(r *Result) { t.Logf("%+v", *r) })
	require.NoError(t, err)
	for _, tab := range m.Tables(results, computed) {
		text, err := tab.Markdown()
		require.NoError(t, err)
		_, _ = fmt.Fprintf(os.Stdout, "\n%s\n", text)
	}
	if *out != "" {
		require.NoError(t, Draw(m.Charts(results), *out))
	}
}

// The results of the model agree with real cores in small clusters, on either side of the size from
// which updates are gossiped; and a seed determines a world.
func TestModelAgreesWithSimulation(t *testing.T) {
	m := Measure()
	for _, nodes := range []int{16, 48} {
		t.Run(strconv.Itoa(nodes), func(t *testing.T) {
			plan := Plan{
				Nodes:   []int{nodes},
				Names:   16_000,
				Changes: 40,
				Rate:    10,
				Rack:    3,
				Seed:    1,
			}
			var told []Result
			results, err := plan.Simulate(func(r *Result) { told = append(told, *r) })
			require.NoError(t, err)
			require.Equal(t, results, told)
			r := &results[0]
			require.InEpsilon(t, m.Digests(), r.Idle, 0.1, "digests")
			require.InEpsilon(t, m.Change(nodes), r.Changes.Bytes, 0.1, "bytes of a change")
			require.InEpsilon(t, m.JoinVectors(nodes, 1), r.Join.Vectors, 0.25, "vectors of a join")
			require.InEpsilon(
				t,
				m.JoinNames(16_000/Partitions),
				r.Join.Names,
				0.5,
				"names of a join",
			)
			again, err := plan.Simulate(func(*Result) {})
			require.NoError(t, err)
			require.Equal(t, results, again)
		})
	}
}

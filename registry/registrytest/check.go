package registrytest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/snowfence/snowfence/registry"
)

// CheckResolver checks a resolver with generated claims:
//
//   - its name isn't empty and stays the same;
//   - it doesn't panic for any metadata: another program may have written them;
//   - it leaves the metadata as they are;
//   - it gives the same answer each time, also when it is called from several goroutines (run the
//     test with -race to find shared state);
//   - swapping the claims flips the sign;
//   - with three claims it does not run in a circle. If the resolver answers 0, the default order
//     counts, as in the registry: a rule that calls close priorities equal may run in a circle with
//     it, and then all three nodes may give up the name.
//
// Claims are all on one name and from different nodes, as in a conflict; times and metadata are
// often equal.
//
// The first broken law fails the test by tb.Errorf, with the simplest example found. CheckResolver
// then returns; it never calls tb.FailNow. It makes some 400,000 calls of Compare and blocks until
// they are done.
func CheckResolver(tb testing.TB, r registry.Resolver, opts ...Option) {
	tb.Helper()
	if r == nil {
		tb.Errorf("registrytest: the resolver is nil")
		return
	}
	o, err := newOptions(opts)
	if err != nil {
		tb.Errorf("registrytest: %v", err)
		return
	}
	tb.Logf("registrytest: seed %d", o.seed)
	name, complaint := checkName(r)
	if complaint != "" {
		tb.Errorf("registrytest: %s", complaint)
		return
	}
	for _, l := range laws {
		for round := range o.rounds {
			example, complaint := l.search(r, o.claims(round))
			if complaint == "" {
				continue
			}
			example, complaint = l.simplify(r, example, complaint, o.nodes)
			tb.Errorf("registrytest: resolver %q %s\n%s\n%s\nFound in round %d with "+
				"registrytest.WithSeed(%d).",
				name, complaint, list(example), l.why, round, o.seed)
			return
		}
	}
	if again := r.Name(); again != name {
		tb.Errorf("registrytest: %s", changedName(name, again))
	}
}

func checkName(r registry.Resolver) (name, complaint string) {
	defer func() {
		if v := recover(); v != nil {
			complaint = fmt.Sprintf("the resolver's Name panics: %v", v)
		}
	}()
	name = r.Name()
	if name == "" {
		return name, "the resolver's name is empty: the nodes of a cluster tell rules apart by it"
	}
	if again := r.Name(); again != name {
		return name, changedName(name, again)
	}
	return name, ""
}

func changedName(first, again string) string {
	return fmt.Sprintf("the resolver's name changed from %q to %q: the nodes of a cluster tell rules "+
		"apart by it", first, again)
}

// claims generates the claims of one round: on one name, each from another node.
func (o *options) claims(round int) []registry.Claim {
	rng := rand.New(rand.NewPCG(o.seed, uint64(round)))
	var metas [3][]byte
	for i := range metas {
		metas[i] = o.drawMeta(rng)
	}
	now := registry.Timestamp{Nanos: noon + rng.Int64N(int64(24*time.Hour))}
	scale := scales[rng.IntN(len(scales))]
	nodes := rng.Perm(len(o.nodes))
	claims := make([]registry.Claim, min(poolSize, len(nodes)))
	for i := range claims {
		claims[i] = registry.Claim{
			Name: "name",
			Node: o.nodes[nodes[i]],
			Meta: metas[rng.IntN(len(metas))],
			Time: drawTime(rng, now, int64(scale)),
		}
	}
	return claims
}

// list returns the claims, one a line, with the names that complaints use.
func list(claims []registry.Claim) string {
	var b strings.Builder
	for i, c := range claims {
		meta := "nil"
		if c.Meta != nil {
			meta = fmt.Sprintf("%q", c.Meta)
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "    %c: node %q, time %s, metadata %s", 'a'+rune(i), c.Node, c.Time, meta)
	}
	return b.String()
}

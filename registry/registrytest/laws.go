package registrytest

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"sync"

	"github.com/snowfence/snowfence/registry"
)

// A law is one requirement of a resolver.
type law struct {
	arity  int  // claims in an example
	crowd  bool // an example may have fewer claims, at least two
	broken func(r registry.Resolver, claims []registry.Claim) (complaint string)
	why    string // the consequence
}

// laws are checked in this order: after a broken one, the answers for later ones mean nothing.
var laws = []law{
	{arity: 1, broken: panics, why: whyPanics},
	{arity: 2, broken: panics, why: whyPanics},
	{arity: 2, broken: modifies, why: whyModifies},
	{arity: 2, broken: wavers, why: whyWavers},
	{arity: poolSize, crowd: true, broken: waversInCrowd, why: whyWavers},
	{arity: 2, broken: favours, why: whyFavours},
	{arity: 3, broken: circles, why: whyCircles},
}

const (
	whyPanics   = "A registry takes a panic for 0 and reports it: the rule would decide nothing."
	whyModifies = "Metadata are shared with the registry and with all who look the name up."
	whyWavers   = "Nodes that ask at different times would keep different claims."
	whyFavours  = "The nodes would disagree: both keep the name, or both give it up."
	whyCircles  = "Each of the three nodes sees a better claim than its own: all may give up the name."
)

// search tries all tuples of the claims in order, and returns the first that breaks the law.
func (l law) search(
	r registry.Resolver, claims []registry.Claim,
) (example []registry.Claim, complaint string) {
	if l.arity >= len(claims) {
		return claims, l.broken(r, claims)
	}
	example = make([]registry.Claim, l.arity)
	var fill func(n, from int) bool
	fill = func(n, from int) bool {
		if n == l.arity {
			complaint = l.broken(r, example)
			return complaint != ""
		}
		for i := from; i < len(claims); i++ {
			example[n] = claims[i]
			if fill(n+1, i+1) {
				return true
			}
		}
		return false
	}
	fill(0, 0)
	return example, complaint
}

// panics complains of a panic. It compares a single claim with itself, which a registry never does;
// the answer doesn't matter.
func panics(r registry.Resolver, claims []registry.Claim) string {
	for i, a := range claims {
		for j, b := range claims {
			if i == j && len(claims) > 1 {
				continue
			}
			if v := panicOf(r, a, b); v != nil {
				return fmt.Sprintf("panics: Compare(%c, %c): %v", 'a'+rune(i), 'a'+rune(j), v)
			}
		}
	}
	return ""
}

func panicOf(r registry.Resolver, a, b registry.Claim) (v any) {
	defer func() { v = recover() }()
	compare(r, a, b)
	return nil
}

// modifies complains of metadata that the resolver writes to. The resolver gets copies.
func modifies(r registry.Resolver, claims []registry.Claim) string {
	a, b := claims[0], claims[1]
	a.Meta, b.Meta = bytes.Clone(a.Meta), bytes.Clone(b.Meta)
	r.Compare(a, b)
	for i, after := range [][]byte{a.Meta, b.Meta} {
		if !bytes.Equal(after, claims[i].Meta) {
			return fmt.Sprintf("modifies metadata: Compare(a, b) made those of %c into %q", 'a'+rune(i),
				after)
		}
	}
	return ""
}

// wavers complains of an answer that differs when it is repeated.
func wavers(r registry.Resolver, claims []registry.Claim) string {
	a, b := claims[0], claims[1]
	first := compare(r, a, b)
	for range 3 {
		if again := compare(r, a, b); again != first {
			return fmt.Sprintf("isn't deterministic: Compare(a, b) is %s, and then %s", word(first),
				word(again))
		}
		compare(r, b, a)
	}
	return ""
}

// waversInCrowd complains of an answer that differs when several goroutines ask.
func waversInCrowd(r registry.Resolver, claims []registry.Claim) string {
	ask := func(backwards bool) (signs [poolSize][poolSize]int) {
		for k := range len(claims) * len(claims) {
			if backwards {
				k = len(claims)*len(claims) - 1 - k
			}
			if i, j := k/len(claims), k%len(claims); i != j {
				signs[i][j] = compare(r, claims[i], claims[j])
			}
		}
		return signs
	}
	alone := ask(false)
	var crowd [4][poolSize][poolSize]int
	var panicked [len(crowd)]any
	var wg sync.WaitGroup
	for g := range crowd {
		wg.Go(func() {
			defer func() { panicked[g] = recover() }()
			crowd[g] = ask(g%2 == 0)
		})
	}
	wg.Wait()
	for g := range crowd {
		if panicked[g] != nil {
			return fmt.Sprintf("panics when several goroutines call it: %v", panicked[g])
		}
		for i := range claims {
			for j := range claims {
				if crowd[g][i][j] != alone[i][j] {
					return fmt.Sprintf("isn't deterministic: Compare(%c, %c) is %s at first, and %s when "+
						"several goroutines ask for all pairs",
						'a'+rune(i), 'a'+rune(j), word(alone[i][j]), word(crowd[g][i][j]))
				}
			}
		}
	}
	return ""
}

// favours complains if swapping the claims doesn't flip the sign.
func favours(r registry.Resolver, claims []registry.Claim) string {
	ab, ba := compare(r, claims[0], claims[1]), compare(r, claims[1], claims[0])
	if ab == -ba {
		return ""
	}
	return fmt.Sprintf("isn't symmetric: Compare(a, b) is %s and Compare(b, a) is %s", word(ab),
		word(ba))
}

// circles complains if each of three claims is preferred to the next one, by the resolver or, if it
// answers 0, by the default order.
func circles(r registry.Resolver, claims []registry.Claim) string {
	ab, bc, ca := preferred(r, claims[0], claims[1]), preferred(r, claims[1], claims[2]),
		preferred(r, claims[2], claims[0])
	if ab != bc || bc != ca {
		return ""
	}
	pairs := [][2]int{{0, 1}, {1, 2}, {2, 0}}
	var kept [3]string
	for i, p := range pairs {
		winner, loser := p[0], p[1]
		if ab < 0 {
			winner, loser = loser, winner
		}
		kept[i] = fmt.Sprintf("%c is kept rather than %c", 'a'+rune(winner), 'a'+rune(loser))
		if compare(r, claims[winner], claims[loser]) == 0 {
			kept[i] += " (by default)"
		}
	}
	return "runs in a circle: " + strings.Join(kept[:], ", ")
}

// preferred returns the answer of a registry: that of the resolver or, if it is 0, the default
// order.
func preferred(r registry.Resolver, a, b registry.Claim) int {
	return cmp.Or(compare(r, a, b), a.Time.Compare(b.Time), cmp.Compare(a.Node, b.Node))
}

// compare returns the sign of the resolver's answer.
func compare(r registry.Resolver, a, b registry.Claim) int {
	return cmp.Compare(r.Compare(a, b), 0)
}

func word(sign int) string {
	switch {
	case sign > 0:
		return "positive"
	case sign < 0:
		return "negative"
	}
	return "0"
}

// Package registrytest checks resolvers: the rules by which a registry decides which of two nodes
// keeps a name that both claimed.
//
// Every node of a cluster applies the rule for itself, so a rule must give the same answer on all
// nodes, in whichever order it gets the claims. Otherwise both nodes keep the name, or both give it
// up. A test of your own resolver takes one line:
//
//	func TestPriority(t *testing.T) {
//		registrytest.CheckResolver(t, priority, registrytest.WithMeta(priorityMeta))
//	}
//
// A fault is reported with the simplest claims that show it, and the seed that reproduces them.
//
// # What it can't detect
//
// A rule that reads the clock, the environment or the name of the machine may answer alike in one
// process and differ between two; so may one that remembers its first claims. Nor is a rule
// compared with that of another release: give it another name when it changes, and the registry
// refuses to mix them. A fault that is not detected here is reported by the registry as a
// [registry.Disagreement] when it happens.
package registrytest

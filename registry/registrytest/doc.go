// Package registrytest checks resolvers: the rules by which a registry settles that two nodes
// claimed one name.
//
// Every node of a cluster applies the rule for itself, so a rule must give the same answer
// everywhere, whichever claim it is shown first. A rule that doesn't makes both nodes keep the
// name, or both give it up. A test of one's own resolver takes one line:
//
//	func TestPriority(t *testing.T) {
//		registrytest.CheckResolver(t, priority, registrytest.WithMeta(priorityMeta))
//	}
//
// What it finds is reported as the simplest claims that show it, with the seed that brings them
// back.
//
// # What it can't see
//
// A rule that reads the clock, the environment or the name of the machine may answer alike in one
// process and differ between two; so may one that remembers what it saw first. Nor is a rule
// compared with that of another release: give it another name when it changes, and the registry
// refuses to mix them. What slips through is reported by the registry as a [registry.Disagreement]
// when it happens.
package registrytest

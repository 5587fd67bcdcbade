package sim

import (
	"fmt"
	"time"
)

// A Step is one action on a world. A step that can't be done (its node is dead, the name is taken)
// does nothing, so that any part of a list of steps is a valid list, too.
type Step struct {
	At    time.Duration // since the last Calm; at once if that is past
	Kind  StepKind
	Node  int
	Other int
	Name  string
	Arg   int           // metadata, number of names, bit mask of a split, or index of storms
	Delta time.Duration // of a clock
}

// StepKind is the type of a step.
type StepKind uint8

// The kinds of steps.
const (
	Register   StepKind = iota // Node registers Name
	Update                     // Node changes the metadata of its claim on Name
	Unregister                 // Node releases Name
	HolderEnds                 // the holder of Name on Node ends
	Burst                      // Node registers Arg names at once
	Sweep                      // Node releases all its names at once
	Cut                        // messages from Node to Other are lost from now on
	Sever                      // and those from Other to Node
	Mend                       // messages between Node and Other pass again
	Split                      // links between the nodes in Arg and the others are cut
	Heal                       // all links pass messages again
	Storm                      // the network's weather changes
	Pause                      // Node stops; messages to it wait
	Resume                     // Node continues
	Crash                      // Node is gone, and its state is lost
	Restart                    // Node starts again, its wall clock shifted by Delta
	Leave                      // Node leaves
	ClockStep                  // Node's wall clock is shifted by Delta
	Suspect                    // Node sees Other as down, for a while
	Echo                       // a message that Node received comes once more
	Rumour                     // all others see Node as down, for a while
	Calm                       // all faults end, the world comes to rest and is checked
	stepKinds
)

var stepNames = [...]string{
	"register", "update", "unregister", "holder ends", "burst", "sweep", "cut", "sever", "mend",
	"split", "heal", "storm",
	"pause", "resume", "crash", "restart", "leave", "clock step", "suspect", "echo", "rumour", "calm",
}

// String returns the kind in a word or two.
func (k StepKind) String() string { return stepNames[k] }

// pairs reports whether such steps concern two nodes.
func (k StepKind) pairs() bool { return k == Cut || k == Sever || k == Mend || k == Suspect }

// String describes the step in one line.
func (s Step) String() string {
	head := fmt.Sprintf("%-12v %-11s", s.At, s.Kind)
	switch s.Kind {
	case Register, Update:
		return fmt.Sprintf("%s %s %q meta %d", head, nodeName(s.Node), s.Name, s.Arg)
	case Unregister, HolderEnds:
		return fmt.Sprintf("%s %s %q", head, nodeName(s.Node), s.Name)
	case Burst:
		return fmt.Sprintf("%s %s %d names", head, nodeName(s.Node), s.Arg)
	case Cut:
		return fmt.Sprintf("%s %s->%s", head, nodeName(s.Node), nodeName(s.Other))
	case Sever, Mend:
		return fmt.Sprintf("%s %s<->%s", head, nodeName(s.Node), nodeName(s.Other))
	case Suspect:
		return fmt.Sprintf("%s %s of %s", head, nodeName(s.Node), nodeName(s.Other))
	case Split:
		return fmt.Sprintf("%s nodes in %b from the others", head, s.Arg)
	case Storm:
		return fmt.Sprintf("%s %d", head, s.Arg)
	case Heal, Calm:
		return head
	case Restart, ClockStep:
		return fmt.Sprintf("%s %s clock %+v", head, nodeName(s.Node), s.Delta)
	}
	return fmt.Sprintf("%s %s", head, nodeName(s.Node))
}

func nodeName(i int) string { return string([]byte{'n', 'a' + byte(i)}) }

// Steps draws a world's steps from its setup's seed. The kinds of steps, their frequency and their
// distances differ from world to world, because worlds with some steps of each kind do not find a
// bug that needs many of one.
func Steps(s Setup) []Step {
	d := fork(dice(s.Seed), 2)
	g := generator{dice: d, setup: s,
		gap: oneOf(&d, time.Millisecond, 20*time.Millisecond, 100*time.Millisecond, 400*time.Millisecond)}
	for i := range 1 + g.dice.intn(5) {
		g.names = append(g.names, string([]byte{"xys"[g.dice.intn(3)], '0' + byte(i)}))
	}
	for k := range stepKinds {
		weight := oneOf(&g.dice, 0, 1, 1, 3)
		switch k {
		case Register:
			weight = 4 + 8*weight
		case Calm:
			weight = 0
		case Unregister:
			weight *= 3
		case Restart, Mend, Heal, Resume:
			weight++
		case Burst, Sweep:
			weight = (weight + 1) / 2
		}
		for range weight {
			g.kinds = append(g.kinds, k)
		}
	}
	g.patterns = oneOf(&g.dice, 0, 0.1, 0.4)
	g.stepClocks = !s.honest() && g.dice.chance(0.6)
	for round := range 1 + g.dice.intn(2) {
		if round > 0 {
			g.steps = append(g.steps, Step{At: g.at, Kind: Calm})
		}
		g.at = 0
		for range 5 + g.dice.intn(40) {
			g.one()
		}
	}
	return g.steps
}

type generator struct {
	dice       dice
	setup      Setup
	gap        time.Duration
	at         time.Duration
	names      []string
	kinds      []StepKind
	patterns   float64
	stepClocks bool
	steps      []Step
}

func (g *generator) node() int    { return g.dice.intn(g.setup.Nodes) }
func (g *generator) name() string { return g.names[g.dice.intn(len(g.names))] }

// add appends a step after a pause.
func (g *generator) add(wait time.Duration, s Step) {
	g.at += wait
	s.At = g.at
	g.steps = append(g.steps, s)
}

func (g *generator) one() {
	if g.dice.chance(g.patterns) {
		g.pattern()
		return
	}
	s := Step{Kind: g.kinds[g.dice.intn(len(g.kinds))], Node: g.node()}
	switch s.Kind {
	case Register, Update, Unregister, HolderEnds:
		s.Name, s.Arg = g.name(), g.dice.intn(4)
	case Echo:
		s.Arg = g.dice.intn(8)
	case Burst:
		s.Arg = oneOf(&g.dice, 3, 10, 60)
	case Cut, Sever, Mend, Suspect:
		s.Other = (s.Node + 1 + g.dice.intn(g.setup.Nodes-1)) % g.setup.Nodes
	case Split:
		s.Arg = 1 + g.dice.intn(1<<g.setup.Nodes-2)
	case Storm:
		s.Arg = g.dice.intn(len(storms))
	case ClockStep:
		if !g.stepClocks {
			return
		}
		s.Delta = oneOf(&g.dice, -time.Hour, -5*time.Second, -50*time.Millisecond, 50*time.Millisecond,
			5*time.Second, 24*time.Hour)
	case Restart:
		if g.stepClocks && g.dice.chance(0.3) {
			s.Delta = oneOf(&g.dice, -time.Hour, -5*time.Second, 5*time.Second)
		}
	}
	g.add(g.dice.between(0, 2*g.gap), s)
}

// pattern appends a few steps that often find bugs together.
func (g *generator) pattern() {
	a := g.node()
	b := (a + 1 + g.dice.intn(g.setup.Nodes-1)) % g.setup.Nodes
	name := g.name()
	soon := func() time.Duration {
		return g.dice.between(1, oneOf(&g.dice, time.Millisecond, 30*time.Millisecond))
	}
	later := func() time.Duration {
		return g.dice.between(50*time.Millisecond, oneOf(&g.dice, 500*time.Millisecond, 3*time.Second))
	}
	switch g.dice.intn(6) {
	case 0: // a duel at once, or within a millisecond
		g.add(g.dice.between(0, g.gap), Step{Kind: Register, Node: a, Name: name, Arg: g.dice.intn(4)})
		g.add(g.dice.between(0, oneOf(&g.dice, 1, 900*time.Microsecond)),
			Step{Kind: Register, Node: b, Name: name, Arg: g.dice.intn(4)})
	case 1: // both sides of a split, and a release while they meet
		g.add(0, Step{Kind: Split, Arg: 1 << a})
		g.add(later(), Step{Kind: Register, Node: a, Name: name, Arg: g.dice.intn(4)})
		g.add(soon(), Step{Kind: Register, Node: b, Name: name, Arg: g.dice.intn(4)})
		g.add(later(), Step{Kind: Heal})
		g.add(g.dice.between(1, 500*time.Millisecond),
			Step{Kind: Unregister, Node: oneOf(&g.dice, a, b), Name: name})
	case 2: // released here, taken there
		g.add(soon(), Step{Kind: Register, Node: a, Name: name})
		g.add(later(), Step{Kind: Unregister, Node: a, Name: name})
		g.add(later(), Step{Kind: Register, Node: b, Name: name})
	case 3: // a restart that no node detects
		g.add(soon(), Step{Kind: Register, Node: a, Name: name})
		g.add(later(), Step{Kind: Crash, Node: a})
		delta := time.Duration(0)
		if g.stepClocks {
			delta = oneOf(&g.dice, 0, -time.Hour)
		}
		g.add(soon(), Step{Kind: Restart, Node: a, Delta: delta})
		g.add(soon(), Step{Kind: Register, Node: oneOf(&g.dice, a, b), Name: name})
	case 4: // much is released while a node is away
		g.add(soon(), Step{Kind: Burst, Node: a, Arg: 10})
		g.add(later(), Step{Kind: Split, Arg: 1 << b})
		g.add(later(), Step{Kind: Sweep, Node: a})
		g.add(soon(), Step{Kind: Register, Node: a, Name: name})
		g.add(later(), Step{Kind: Heal})
	case 5: // the holder flickers
		for range 3 {
			g.add(soon(), Step{Kind: Register, Node: a, Name: name, Arg: g.dice.intn(4)})
			g.add(soon(), Step{Kind: Unregister, Node: a, Name: name})
		}
	}
}

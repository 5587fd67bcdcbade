package explore

// A World is a small cluster, and the actions that may happen in it.
type World struct {
	Name  string
	Nodes int // 2 or 3
	Names int // of the registry: 1 or 2; 0: 1
	Budget
	Before []Step // done first, in this order and for free; then all is explored
	// Cuts are the links that a split may cut. None: all of two nodes, those of node 0 of three.
	Cuts []Cut

	Oldest  bool // the older claim is preferred
	Ties    bool // the wall clock stands still, so that claims have the same timestamps
	Lower   bool // a restarted node's incarnation is lower than that of its run before
	Relay   bool // gossip passes updates on; otherwise only their origin sends them
	NoTombs bool // tombstones are dropped once they were handed out, and a chunk holds one record
	Churn   bool // before calm, all must catch up while names change
	Forget  bool // a node that is down is forgotten at the next tick
	Seeds   int  // seeds of a tick's random choices; 0: 1

	Flying    int // messages under way from which on one must arrive or be lost next; 0: no bound
	MaxStates int // after which the search ends; 0: never
}

// A Budget holds how often each kind of action may happen. Kinds that are not here are free: to
// flush, to deliver a message, to detect a change in membership, to heal, to start a crashed node.
type Budget struct {
	Register, Update, Release int
	Split, Suspect            int
	Crash, Leave              int
	Drop, Duplicate           int
	Tick                      int
}

// A Cut is a set of links: bit 0 is that of nodes 0 and 1, bit 1 of 0 and 2, bit 2 of 1 and 2.
type Cut uint8

// Cuts.
const (
	Cut01 Cut = 1 << iota
	Cut02
	Cut12
)

func link(i, j int) Cut { return 1 << (i + j - 1) }

// A Kind is the type of an action.
type Kind uint8

// The kinds of actions. A is the node that acts; for Deliver, Duplicate and Drop it is an index
// into the messages in flight, and A of Split into the world's cuts.
const (
	Register  Kind = iota // node A, name B
	Update                // node A, name B
	Release               // node A, name B
	Split                 // A: which cut
	Suspect               // node A hears that B is down, though it is not
	Crash                 // node A
	Leave                 // node A
	Drop                  // message A
	Duplicate             // message A arrives, and stays in flight
	Tick                  // node A; B is the seed
	Flush                 // node A
	Deliver               // message A
	Hear                  // node A hears how B is
	Heal                  // all links
	Start                 // node A
	kinds
)

// budgeted is the number of kinds that have a budget; they come first.
const budgeted = int(Flush)

// A Step is one action.
type Step struct {
	Kind Kind
	A, B uint8
}

func (b Budget) list() [budgeted]uint8 {
	return [budgeted]uint8{
		Register: uint8(b.Register), Update: uint8(b.Update), Release: uint8(b.Release),
		Split:   uint8(b.Split),
		Suspect: uint8(b.Suspect), Crash: uint8(b.Crash), Leave: uint8(b.Leave), Drop: uint8(b.Drop),
		Duplicate: uint8(b.Duplicate), Tick: uint8(b.Tick),
	}
}

func (w *World) cuts() []Cut {
	switch {
	case len(w.Cuts) > 0:
		return w.Cuts
	case w.Nodes == 2:
		return []Cut{Cut01}
	}
	return []Cut{Cut01 | Cut02}
}

func (w *World) names() int { return max(1, w.Names) }

// wall is what all wall clocks show at the k-th registration. Each has a moment of its own, unless
// ties are wanted.
func (w *World) wall(k uint8) int64 {
	if w.Ties {
		return epoch
	}
	return epoch + 1000*int64(k)
}

const epoch = 1_000_000_000

// incarnation of a node's run, from 0.
func (w *World) incarnation(run uint8) uint64 {
	if w.Lower {
		return 100 - 10*uint64(run)
	}
	return 100 + 10*uint64(run)
}

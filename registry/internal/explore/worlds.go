package explore

// apart returns the steps after which two nodes that can't reach each other hold one name.
func apart(nodes int) []Step {
	before := []Step{{Split, 0, 0}}
	for i := range nodes {
		if i > 0 {
			before = append(before, Step{Hear, 0, uint8(i)}, Step{Hear, uint8(i), 0})
		}
	}
	return append(before, Step{Register, 0, 0}, Step{Flush, 0, 0}, Step{Register, 1, 0},
		Step{Flush, 1, 0})
}

// Worlds returns the worlds of every test run; each takes seconds.
func Worlds() []World {
	return []World{
		{Name: "two: calm", Nodes: 2, Budget: Budget{Register: 3, Update: 1, Release: 2}},
		{Name: "two: split", Nodes: 2, Budget: Budget{Register: 2, Release: 1, Split: 1}},
		{Name: "two: split, oldest wins", Nodes: 2, Oldest: true,
			Budget: Budget{Register: 2, Release: 1, Split: 1}},
		{Name: "two: split, ties", Nodes: 2, Ties: true,
			Budget: Budget{Register: 2, Release: 1, Split: 1}},
		{Name: "two: split, time passes", Nodes: 2, Budget: Budget{Register: 2, Split: 1, Tick: 1},
			Flying: 1},
		{Name: "two: lossy", Nodes: 2,
			Budget: Budget{Register: 2, Release: 1, Drop: 1, Duplicate: 1, Tick: 1}, Flying: 2},
		{Name: "two: suspicion", Nodes: 2, Budget: Budget{Register: 2, Release: 1, Suspect: 1, Drop: 1},
			Flying: 2},
		{Name: "two: crash", Nodes: 2, Budget: Budget{Register: 2, Crash: 1, Tick: 1}, Flying: 1},
		{Name: "two: crash, clock set back", Nodes: 2, Lower: true,
			Budget: Budget{Register: 2, Crash: 1, Tick: 1}, Flying: 1},
		{Name: "two: leave", Nodes: 2, Budget: Budget{Register: 2, Leave: 1, Drop: 1, Tick: 1}},
		{Name: "two: forgetful", Nodes: 2, Forget: true, Budget: Budget{Register: 2, Suspect: 1, Tick: 2},
			Flying: 1},
		{Name: "two: no tombstones", Nodes: 2, NoTombs: true,
			Budget: Budget{Register: 2, Release: 1, Drop: 1, Tick: 1}},
		{Name: "two: no tombstones of two names", Nodes: 2, Names: 2, NoTombs: true,
			Budget: Budget{Register: 2, Release: 1, Drop: 1, Tick: 1}, Flying: 1},
		{Name: "two: churn", Nodes: 2, Names: 2, NoTombs: true, Churn: true,
			Budget: Budget{Register: 2, Crash: 1}, Flying: 1},
		{Name: "three: calm", Nodes: 3, Budget: Budget{Register: 2, Release: 1}, Flying: 4},
		{Name: "three: lossy", Nodes: 3, Seeds: 2, Budget: Budget{Register: 2, Drop: 1, Tick: 1},
			Flying: 1},
		{Name: "three: gossip", Nodes: 3, Relay: true, Budget: Budget{Register: 2, Release: 1, Drop: 1},
			Flying: 2},
		{Name: "three: no tombstones", Nodes: 3, NoTombs: true,
			Budget: Budget{Register: 2, Release: 1, Drop: 1, Tick: 1}, Flying: 1},
		{Name: "three: suspicion", Nodes: 3, Budget: Budget{Register: 2, Release: 1, Suspect: 1},
			Flying: 1},
		{Name: "three: split", Nodes: 3, Budget: Budget{Register: 1, Release: 1, Split: 1}, Flying: 1},
		{Name: "three: one link cut", Nodes: 3, Cuts: []Cut{Cut01}, Budget: Budget{Register: 2, Split: 1},
			Flying: 1},
		{Name: "three: crash", Nodes: 3, Budget: Budget{Register: 1, Crash: 1}, Flying: 1},
		{Name: "three: crash, clock set back", Nodes: 3, Lower: true,
			Budget: Budget{Register: 1, Crash: 1}, Flying: 1},
	}
}

// SynRace returns worlds of the race that syn's model found: two nodes registered a name while
// apart, they meet, and one releases it while their messages are under way.
func SynRace() []World {
	return []World{
		{Name: "syn's race", Nodes: 2, Before: apart(2), Budget: Budget{Release: 1, Tick: 1}, Flying: 4},
		{Name: "syn's race, taken again", Nodes: 2, Before: apart(2),
			Budget: Budget{Release: 1, Register: 1}, Flying: 4},
		{Name: "syn's race, lossy", Nodes: 2, Before: apart(2),
			Budget: Budget{Release: 1, Drop: 1, Duplicate: 1}, Flying: 3},
		{Name: "syn's race, oldest wins", Nodes: 2, Oldest: true, Before: apart(2),
			Budget: Budget{Release: 1, Tick: 1}, Flying: 4},
		{Name: "syn's race, no tombstones", Nodes: 2, NoTombs: true, Before: apart(2),
			Budget: Budget{Release: 1, Tick: 1}, Flying: 3},
		{Name: "syn's race, third node", Nodes: 3, Before: apart(3), Budget: Budget{Release: 1},
			Flying: 1},
	}
}

// DeepWorlds returns worlds that take minutes and gigabytes; some end at MaxStates.
func DeepWorlds() []World {
	const most = 12_000_000
	return []World{
		{Name: "deep two: split, time passes", Nodes: 2,
			Budget: Budget{Register: 2, Release: 1, Split: 1, Tick: 2}, Flying: 1, MaxStates: most},
		{Name: "deep two: lossy", Nodes: 2,
			Budget: Budget{Register: 2, Release: 2, Update: 1, Drop: 1, Duplicate: 1, Tick: 2}, Flying: 2,
			MaxStates: most},
		{Name: "deep two: crashes", Nodes: 2, Lower: true,
			Budget: Budget{Register: 2, Release: 1, Crash: 2, Tick: 1}, Flying: 1, MaxStates: most},
		{Name: "deep two: no tombstones", Nodes: 2, NoTombs: true,
			Budget: Budget{Register: 2, Release: 2, Drop: 2, Tick: 2}, Flying: 2, MaxStates: most},
		{Name: "deep three: no tombstones of two names", Nodes: 3, Names: 2, NoTombs: true,
			Budget: Budget{Register: 2, Update: 1, Release: 1, Drop: 1, Tick: 1}, Flying: 1,
			MaxStates: most},
		{Name: "deep three: lossy", Nodes: 3, Seeds: 2,
			Budget: Budget{Register: 2, Release: 1, Drop: 1, Tick: 1}, Flying: 2, MaxStates: most},
		{Name: "deep three: split", Nodes: 3, Budget: Budget{Register: 2, Release: 1, Split: 1},
			Flying: 1, MaxStates: most},
		{Name: "deep three: crash", Nodes: 3, Budget: Budget{Register: 2, Crash: 1}, Flying: 1,
			MaxStates: most},
	}
}

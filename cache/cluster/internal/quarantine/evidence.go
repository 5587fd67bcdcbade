package quarantine

// maxRefusedSuspects bounds the suspects beyond which Refused makes no key suspect, and the keys
// that Announce takes.
const maxRefusedSuspects = maxRecords / 2

// health holds what this node knows of another member.
type health struct {
	answered bool // at least once
	down     bool // it could not be asked, and has not answered since
	dead     bool // it was found to be dead, and has not answered since
}

// SetMembers replaces the other members. A trial by an incarnation that is no member any more
// counts as its death.
func (b *Book) SetMembers(list []Incarnation) {
	b.update(func() {
		members := make(map[Incarnation]health, len(list))
		for _, i := range list {
			members[i] = b.members[i]
		}
		for i := range b.members {
			if _, still := members[i]; !still {
				b.countTrialDeaths(i)
			}
		}
		b.members = members
	})
}

// Up notes that a member has answered.
func (b *Book) Up(at Incarnation) { b.note(at, health{answered: true}) }

// Down notes that a member could not be asked. It is not chosen as trier until Up.
func (b *Book) Down(at Incarnation) { b.note(at, health{down: true}) }

func (b *Book) note(at Incarnation, news health) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h, is := b.members[at]; is {
		news.answered, news.dead = news.answered || h.answered, news.down && h.dead
		b.members[at] = news
	}
}

// Dead reports whether a member was found to be dead, and has not answered since.
func (b *Book) Dead(at Incarnation) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.members[at].dead
}

// markDead notes that an incarnation was found to be dead. mu is held.
func (b *Book) markDead(at Incarnation) {
	h, is := b.members[at]
	if !is || h.dead {
		return
	}
	h.down, h.dead = true, true
	b.members[at] = h
	b.lastDeath, b.survivedTrials = b.now(), 0
}

// Lost notes that the connection to at broke while a request for key was under way there. If at was
// trying another key, that key has killed it.
func (b *Book) Lost(key string, at Incarnation) {
	b.update(func() { b.lost(key, at) })
}

// Refused notes that at refuses connections. If it has answered before, its process is gone, and a
// load of key may have ended it. That counts once for a key, and only while there are not too many
// suspects, since nodes ask at for all its keys until they know that it is gone.
func (b *Book) Refused(key string, at Incarnation) {
	b.update(func() {
		r := b.records[key]
		known := r != nil && r.marks[at].life > 0
		if b.members[at].answered && !known && b.suspects() < maxRefusedSuspects {
			b.lost(key, at)
		}
	})
}

// Gone does the work of Lost or, if refused, of Refused for a request that says nothing about its
// keys: a request for a trial, since a key that waits for its turn kills no node, or a request for
// many keys that was not under way. It counts for the keys whose trials had begun.
func (b *Book) Gone(at Incarnation, refused bool) {
	b.update(func() {
		if !refused || b.members[at].answered {
			b.markDead(at)
			b.countTrialDeaths(at)
		}
	})
	b.Down(at)
}

func (b *Book) lost(key string, at Incarnation) {
	b.markDead(at)
	if !b.countTrialDeaths(at) {
		r := b.record(key)
		m := r.marks[at]
		m.life |= 1
		b.set(r, at, m)
	}
}

// countTrialDeaths counts the death of an incarnation for the keys that it was trying, and reports
// whether it has died in a trial.
func (b *Book) countTrialDeaths(at Incarnation) (inTrial bool) {
	for _, r := range b.records {
		m := r.marks[at]
		if m.trying() && at != b.o.Self {
			m = m.withTrial(trialFatal)
			m.life |= 1
			b.set(r, at, m)
		}
		inTrial = inTrial || m.diedInTrial()
	}
	return inTrial
}

// suspects returns how many keys are not clear.
func (b *Book) suspects() (n int) {
	for _, r := range b.records {
		if r.deaths() > 0 {
			n++
		}
	}
	return n
}

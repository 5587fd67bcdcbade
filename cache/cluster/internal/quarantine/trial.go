package quarantine

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// restAfterDeath is how long after a death the next trial begins: by then all members know what
	// the survivors have seen.
	restAfterDeath = 50 * time.Millisecond

	// After a death a node runs one trial at a time, so that a second death convicts one key. As
	// trials end well more may run: one for each perTrial of them, up to maxTrials.
	perTrial  = 8
	maxTrials = 64
	// A trial whose load takes longer than maxTurn holds no other one up.
	maxTurn = 500 * time.Millisecond
)

// trier returns the incarnation that is to try key, of the members and this node. It is the same
// one on all nodes that see the same members and know the same deaths. mu is held.
func (b *Book) trier(key string) Incarnation {
	unit := xxhash.Sum64String(key)
	best, most := b.o.Self, score(unit, b.o.Self)
	for i, h := range b.members {
		if s := score(unit, i); !h.down && (s > most || s == most && compare(i, best) < 0) {
			best, most = i, s
		}
	}
	return best
}

// score returns the rank of i for a key, by the last step of splitmix64 (Steele, Lea and Flood,
// 2014) on the hashes of both.
func score(unit uint64, i Incarnation) uint64 {
	x := unit ^ xxhash.Sum64String(i.Node) ^ i.ID
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// mayBegin reports whether this node may begin one more trial. mu is held.
func (b *Book) mayBegin() bool {
	now := b.now()
	running := 0
	for _, r := range b.records {
		if r.trying && (r.loadingSince.IsZero() || now.Sub(r.loadingSince) < maxTurn) {
			running++
		}
	}
	most := max(1, min(b.survivedTrials/perTrial, maxTrials))
	return now.Sub(b.lastDeath) >= restAfterDeath && running < most
}

// Begin begins a trial of key by this node. All members must confirm the records up to the number
// seq before Ready is called. ok is false if the key may not be tried, or if it is not its turn.
func (b *Book) Begin(key string) (seq uint64, ok bool) {
	b.update(func() {
		r := b.records[key]
		if b.left || b.verdict(r).State != Suspect || r.trying || !b.mayBegin() {
			return
		}
		ok, r.trying = true, true
		b.set(r, b.o.Self, r.marks[b.o.Self].withTrial(trialUnderWay))
		seq = b.seq
	})
	return seq, ok
}

// Announce notes that this node is about to load keys in the place of a node that has died, maybe
// of one of them. It returns the keys that it took: if this node dies, they are suspect. seq is as
// of Begin; End ends the announcement.
func (b *Book) Announce(keys []string) (taken []string, seq uint64) {
	b.update(func() {
		for _, key := range keys[:min(len(keys), maxRefusedSuspects)] {
			if r := b.record(key); !r.trying && !b.left {
				taken, r.trying, r.loadingSince = append(taken, key), true, b.now().Add(-maxTurn)
				b.set(r, b.o.Self, r.marks[b.o.Self].withTrial(trialUnderWay))
			}
		}
		seq = b.seq
	})
	return taken, seq
}

// Ready reports whether this node may load a key now whose trial it has begun and all members have
// confirmed. If not, the trial has ended.
func (b *Book) Ready(key string) (ok bool) {
	b.update(func() {
		r := b.records[key]
		switch {
		case r == nil || !r.trying:
		case b.verdict(r).State == Suspect:
			ok, r.loadingSince = true, b.now()
			b.trials++
		default:
			b.end(r, false)
		}
	})
	return ok
}

// End ends trials of this node. cleared says that the loads have returned; then all deaths of the
// keys are forgiven.
func (b *Book) End(cleared bool, keys ...string) {
	b.update(func() {
		for _, key := range keys {
			if r := b.records[key]; r != nil && r.trying {
				b.end(r, cleared)
			}
		}
	})
}

// Leave ends all trials of this node, and lets it begin no more. It returns whether there were any,
// and the number up to which the members must confirm the records to know of it.
func (b *Book) Leave() (seq uint64, some bool) {
	b.update(func() {
		b.left = true
		for _, r := range b.records {
			if r.trying {
				b.end(r, false)
				some = true
			}
		}
		seq = b.seq
	})
	return seq, some
}

func (b *Book) end(r *record, cleared bool) {
	r.trying, r.loadingSince = false, time.Time{}
	b.set(r, b.o.Self, r.marks[b.o.Self].withTrial(noTrial))
	if !cleared {
		return
	}
	b.survivedTrials++
	for i, m := range r.marks {
		m.life += m.life % 2
		b.set(r, i, m)
	}
}

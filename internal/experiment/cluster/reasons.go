package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/lab"
)

// A Reason says why a load was allowed.
type Reason string

// The reasons; reasons says what they mean.
const (
	reasonFirst   Reason = "first"
	reasonExpired Reason = "ttl"
	reasonFailed  Reason = "failed"
	reasonEach    Reason = "each"
	reasonLost    Reason = "lost"
	reasonChange  Reason = "change"
	reasonInPlace Reason = "in_place"
	reasonLate    Reason = "late"
	reasonNone    Reason = "none"
)

// reasons are in the order in which they are listed.
var reasons = []struct {
	is            Reason
	text, meaning string
}{
	{reasonFirst, "of new keys", "no node had loaded the key"},
	{reasonExpired, "after the TTL", "of the value that was there"},
	{reasonFailed, "after a load that failed or was given up", "so there was no value"},
	{reasonEach, "had by another node", "without a cluster only"},
	{reasonLost, "lost with a node", "the node with the value had ended"},
	{reasonChange, "as nodes came or went", "see below"},
	{reasonInPlace, "for a node that did not deliver", "it was asked in vain, or passed over"},
	{reasonLate, "beside a late load", "which had let a caller down"},
	{reasonNone, "without a reason", "the check names key, nodes and times"},
}

// reasonsHelp lists the reasons for the help.
func reasonsHelp() string {
	var b strings.Builder
	for _, w := range reasons {
		fmt.Fprintf(&b, "  %-41s %s\n", w.text, w.meaning)
	}
	return b.String()
}

// A span is a time of a run.
type span struct{ from, to time.Duration }

// evidence holds what was seen of a run, against which its loads are held. An evidence can explain
// loads once.
type evidence struct {
	ttl, copyTTL time.Duration // ttl 0: for ever
	patience     time.Duration // how long after a node was asked in vain a load may be made for it
	clustered    bool
	small        bool // copies may be evicted, as there is little room for them

	names []string        // of each process
	ended []time.Duration // when each process was ended; unended if it was not

	unsettled []span                     // nodes came, went or were cut off, and not all had noticed
	letDown   map[string][]time.Duration // of each key, when deadlines of fetches passed

	// What follows belongs to explain, which goes through the loads in the order of time.
	keys    map[string]*keyLoads
	recent  [][]*loadRecord      // of each process, the loads of the last patience, and one before
	passing map[*loadRecord]bool // loads of processes that had passed over a node in that time
}

// keyLoads holds the earlier loads of a key.
type keyLoads struct {
	living []*loadRecord // whose values are good still, or that go on
	before Reason        // of a load if none is living
}

// explain counts why loads were allowed, and describes those that were not. The loads are in the
// order in which they started.
//
// The promise is: a value is loaded again when its TTL has ended, its load has failed, or its node
// is gone. While nodes come, go or are cut off, and until all have noticed, each node may load for
// itself, once per TTL, as without a cluster; the value of a key that has changed its owner lives
// for CopyTTL only. A node that has asked another one in vain may do so at any time. If two nodes
// have loaded since all is settled, one load is too many, whatever was before.
func (e *evidence) explain(loads []*loadRecord) (counts map[Reason]uint64, broken []string) {
	e.keys, e.passing = make(map[string]*keyLoads), make(map[*loadRecord]bool)
	e.recent = make([][]*loadRecord, len(e.names))
	counts = make(map[Reason]uint64)
	for _, l := range loads {
		e.pass(l)
		why, other := e.why(l)
		counts[why]++
		if why == reasonNone {
			broken = append(broken, e.describe(l, other))
		}
	}
	return counts, broken
}

// describe says that l was one too many, since there was another load.
func (e *evidence) describe(l, other *loadRecord) string {
	had := fmt.Sprintf("was loading it since %.3f s", other.start.Seconds())
	if other.end <= l.start {
		had = fmt.Sprintf("had loaded it from %.3f s to %.3f s", other.start.Seconds(),
			other.end.Seconds())
	}
	return fmt.Sprintf("%s at %.3f s by %s, though %s %s", l.Key, l.start.Seconds(),
		e.names[l.Process], e.names[other.Process], had)
}

// why returns why l was allowed and, if it was not, the load that made it one too many.
func (e *evidence) why(l *loadRecord) (why Reason, other *loadRecord) {
	key := e.keys[l.Key]
	if key == nil {
		key = &keyLoads{before: reasonFirst}
		e.keys[l.Key] = key
	}
	key.living = slices.DeleteFunc(key.living, func(p *loadRecord) bool {
		switch {
		case p.end > l.start: // it goes on
			return false
		case p.failed || p.cut:
			key.before = reasonFailed
		case e.ttl > 0 && l.start-p.end >= e.ttl:
			key.before = reasonExpired
		default:
			return false
		}
		return true
	})
	why = key.before
	for _, p := range key.living {
		if why = e.excuse(p, l); why == reasonNone {
			other = p
			break
		}
	}
	key.living = append(key.living, l)
	return why, other
}

// excuse returns why l was allowed although p, an earlier load, has brought a value that is good
// still, or goes on.
func (e *evidence) excuse(p, l *loadRecord) Reason {
	changed := e.changed(p.start, l.start)
	switch {
	case e.ended[p.Process] <= l.start:
		return reasonLost
	case e.late(p, l):
		return reasonLate
	case p.Process == l.Process && (p.cut || l.cut):
		return reasonFailed // which of the two came to the origin first says nothing
	case p.Process == l.Process:
		lives := e.copyTTL
		if e.small {
			lives = 0
		}
		if e.clustered && p.end <= l.start && l.start-p.end >= lives && (changed || e.vain(p)) {
			return reasonChange
		}
		return reasonNone
	case !e.clustered:
		return reasonEach
	case e.vain(l), e.vain(p):
		return reasonInPlace
	case changed:
		return reasonChange
	}
	return reasonNone
}

// changed reports whether nodes came or went between two times, or had not all noticed.
func (e *evidence) changed(from, to time.Duration) bool {
	return slices.ContainsFunc(e.unsettled, func(s span) bool {
		return s.from <= to && from <= s.to
	})
}

// late reports whether a caller that may have waited for p was let down before l started. The
// flight of p may have asked another node first.
func (e *evidence) late(p, l *loadRecord) bool {
	return slices.ContainsFunc(e.letDown[p.Key], func(at time.Duration) bool {
		return p.start-e.patience <= at && at <= l.start
	})
}

// vain reports whether l was made in place of a node that did not answer, or may have been made in
// place of one that was not asked: which loads those were is not recorded.
func (e *evidence) vain(l *loadRecord) bool { return l.Vain != "" || e.passing[l] }

// pass notes whether the process of l has passed over a node of late. It may be as long ago as a
// caller waits.
func (e *evidence) pass(l *loadRecord) {
	list := e.recent[l.Process]
	list = append(list, l)
	for len(list) > 2 && list[1].start <= l.start-e.patience {
		list = list[1:]
	}
	e.recent[l.Process] = list
	passed := l.Unasked > 0
	if list[0] != l && list[0].start <= l.start-e.patience {
		passed = l.Unasked > list[0].Unasked
	}
	if passed {
		e.passing[l] = true
	}
}

// reasonList lists how many loads had which reason.
func reasonList(counts map[Reason]uint64) string {
	var words []string
	for _, w := range reasons {
		if n := counts[w.is]; n > 0 {
			words = append(words, human.Count(n)+" "+w.text)
		}
	}
	return strings.Join(words, ", ")
}

// giveUp notes which loads were given up, as their nodes have said. The origin sees that later, or
// never.
func (r *run) giveUp(loads []*loadRecord) {
	given := make([]map[uint64]time.Duration, len(r.all))
	for i, p := range r.all {
		given[i] = make(map[uint64]time.Duration)
		for _, g := range p.givenUp {
			given[i][g.Number] = g.At.Sub(r.Zero)
		}
	}
	for _, l := range loads {
		if at, ok := given[l.Process][l.Number]; ok {
			l.cut, l.end = true, max(l.start, min(l.end, at))
		}
	}
}

// evidence returns what is known of the run.
func (r *run) evidence(ran time.Duration) *evidence {
	e := &evidence{
		ttl:      r.p.TTL,
		copyTTL:  max(0, cmp.Or(r.p.CopyTTL, cluster.DefaultCopyTTL)),
		patience: r.p.Timeout + noticed, clustered: r.ownership.clustered(),
		small: r.p.KeyCount > r.p.Capacity/copyShare, letDown: make(map[string][]time.Duration),
	}
	for _, p := range r.all {
		ended := unended
		if p.leaving {
			ended = p.left.Sub(r.Zero)
		}
		e.names, e.ended = append(e.names, p.name), append(e.ended, ended)
		for _, one := range p.letDown {
			key := keyName(one.Key)
			e.letDown[key] = append(e.letDown[key], one.Due+r.p.Timeout)
		}
	}
	e.unsettled = r.changes(e, ran)
	return e
}

// changes returns when nodes came, went or were cut off, or had not all noticed.
//
// The death of a node changes nothing of what the others own, since all choose the same owner for
// its keys. So it is no reason, but by slot, where the nodes' plans may differ for a moment.
func (r *run) changes(e *evidence, ran time.Duration) (list []span) {
	if !e.clustered {
		return nil
	}
	deaths := r.ownership != BySlot && (r.p.Disturb == lab.Kill || r.p.Disturb == lab.Poison)
	for _, p := range r.all {
		for _, v := range p.views {
			at := v.At.Sub(r.Zero)
			died := slices.Index(e.names, v.Node)
			switch {
			case at < 0 || at >= ran: // all come or leave
			case deaths && died >= 0 && at >= e.ended[died]-noticed:
			default:
				list = append(list, span{at - noticed, at + noticed})
			}
		}
	}
	if deaths {
		return list
	}
	list = append(list, r.unsettled...)
	switch r.p.Disturb {
	case lab.Calm, lab.OriginSlow, lab.OriginFail:
		return list
	}
	return append(list, span{r.p.Start, cmp.Or(r.ended, ran) + noticed})
}

const (
	// copyShare is the part of a cache that package cluster leaves to copies.
	copyShare = 8

	// noticed bounds how long after a change of nodes their reports may show it, on a busy machine.
	noticed = time.Second
)

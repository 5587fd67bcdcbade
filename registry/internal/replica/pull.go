package replica

import "time"

// pullMore sends the pulls and checks that are due, as far as the bound on those under way allows.
func (p *Partition) pullMore(at At) {
	under := 0
	for _, node := range p.peers {
		if p.tables[node].pull != nil {
			under++
		}
	}
	first := 0
	if len(p.peers) > p.cfg.Pulls {
		first = p.rand.IntN(len(p.peers)) // or the last ones would starve while names change
	}
	for i := range p.peers {
		t := p.tables[p.peers[(first+i)%len(p.peers)]]
		if under >= p.cfg.Pulls {
			return
		}
		if t.pull != nil {
			continue
		}
		lacks := t.want > t.seq && at.Mono >= t.gapAt && at.Mono >= t.retry
		// A replica that lacks claims and doubts others pulls and checks by turns.
		if (!lacks || t.check == nil || !t.check.asked) && p.checkMore(at, t) || lacks && p.pull(at, t) {
			under++
		}
	}
}

// server returns the node to ask: first the source, then by turns the origin and a random one.
func (p *Partition) server(t *table, source string, tries int) string {
	switch {
	case tries == 0 && p.hasPeer(source):
		return source
	case tries%2 == 0 && p.hasPeer(t.origin):
		return t.origin
	case len(p.peers) > 0:
		return p.peers[p.rand.IntN(len(p.peers))]
	}
	return ""
}

// pull asks for the next chunk of an origin, and reports whether there is a node to ask.
func (p *Partition) pull(at At, t *table) bool {
	server := p.server(t, t.source, t.tries)
	if server == "" {
		return false
	}
	q := &Pull{Origin: t.origin, Incarnation: t.inc, After: t.seq}
	if t.hasTarget && !t.caught {
		q.AtLeast = t.target // what is older would not be shown
	}
	t.pull = &pull{
		server: server, after: t.seq,
		sent: at.Mono, due: at.Mono + p.backOff(p.cfg.PullTimeout, t.tries),
	}
	if t.check != nil {
		t.check.asked = false
	}
	p.stats.Pulls++
	p.send(server, q)
	return true
}

// unanswered ends the question under way, whose time-out has passed.
func (p *Partition) unanswered(t *table) {
	if t.pull.check && t.check != nil {
		t.check.tries++
	} else {
		t.tries++
	}
	t.pull = nil
}

// abandonPulls ends the questions under way to a node that has sent a vector, if it can't have got
// them: a node drops messages of one that is not up for it yet, and asks for its vector (asks) once
// it is. It also ends those older than the first time-out, so that a link that was cut for long is
// used again at once.
func (p *Partition) abandonPulls(at At, from string, asks bool) {
	for _, node := range p.peers {
		t := p.tables[node]
		if q := t.pull; q != nil && q.server == from && (asks || at.Mono >= q.sent+p.cfg.PullTimeout) {
			t.pull = nil
		}
	}
}

// backOff returns an interval that doubles with each try, up to 16 times d, jittered by a quarter.
func (p *Partition) backOff(d time.Duration, tries int) time.Duration {
	return p.jitter(d << max(0, min(tries, 4)))
}

func (p *Partition) jitter(d time.Duration) time.Duration {
	return d - d/8 + time.Duration(p.rand.Int64N(int64(d/4)+1))
}

// serve answers a pull with one chunk.
func (p *Partition) serve(to string, q *Pull) {
	t := p.tables[q.Origin]
	if t == nil || t.inc != q.Incarnation || !t.up && t != p.own {
		p.send(to, p.vector(false)) // the origin, or this run of it, is not known here
		return
	}
	c := &Chunk{Origin: t.origin, Incarnation: t.inc, After: q.After, UpTo: q.After, AsOf: q.After}
	if t != p.own && !t.exact() || t.seq < q.AtLeast || t.seq <= q.After {
		p.send(to, c)
		return
	}
	c.UpTo, c.AsOf, c.Floor = t.seq, t.seq, t.floor
	size := 0
	for _, r := range t.log[t.after(c.After):] {
		if !p.current(t, r) {
			continue
		}
		if size > 0 && size+sizeOf(r) > p.cfg.ChunkBytes {
			c.UpTo = c.Records[len(c.Records)-1].Seq
			break
		}
		size += sizeOf(r)
		c.Records = append(c.Records, r)
	}
	p.stats.Served += uint64(len(c.Records))
	p.send(to, c)
}

// receiveChunk applies a chunk. It need not be the answer to the pull under way: a late one serves
// as well, if there is no gap before it.
func (p *Partition) receiveChunk(at At, t *table, from string, c *Chunk) {
	answer := t.pull != nil && !t.pull.check && t.pull.server == from && t.pull.after == c.After
	if answer {
		t.pull = nil
	}
	if c.After > t.seq || c.UpTo <= t.seq || t.outdates(c.AsOf) {
		if answer {
			t.tries++
			t.retry = at.Mono + p.backOff(p.cfg.GapPatience, t.tries)
		} else {
			p.stats.Ignored++
		}
		p.pullMore(at)
		return
	}
	if c.Floor > t.seq {
		if t.hole == 0 {
			p.stats.Resyncs++
		}
		t.hole = max(t.hole, min(c.Floor, c.UpTo))
		t.floor = max(t.floor, t.hole)
	}
	p.applyRecords(at, t, c.Records, c.UpTo, c.AsOf)
	t.tries, t.source, t.retry = 0, from, 0
	p.showWhenCaughtUp(at, t) // first: updates that waited may be older
	p.applyBuffered(at, t)
	p.showWhenCaughtUp(at, t)
	p.pullMore(at)
}

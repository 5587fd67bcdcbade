package replica

import "time"

// pullMore starts the pulls that are due, as far as the bound on those under way allows.
func (p *Partition) pullMore(at At) {
	under := 0
	for _, node := range p.peers {
		if p.tables[node].pull != nil {
			under++
		}
	}
	for _, node := range p.peers {
		t := p.tables[node]
		if under >= p.cfg.Pulls {
			return
		}
		if t.pull != nil || t.want <= t.seq || at.Mono < t.gapAt || at.Mono < t.retry {
			continue
		}
		server := p.server(t)
		if server == "" {
			continue
		}
		if t.snap != nil && t.snap.server == server {
			p.pull(at, t, server, t.snap.next, t.snap.start)
		} else {
			t.snap = nil
			p.pull(at, t, server, t.seq, 0)
		}
		under++
	}
}

// server chooses whom to ask: first who told of the news, then by turns the origin and anybody. A
// snapshot stays with its server for two more tries: another would begin it anew, and where answers take
// longer than pulls wait for them none would ever end, whereas the late answer to the first
// try is as good as one to the second.
func (p *Partition) server(t *table) string {
	switch {
	case t.snap != nil && t.tries <= 2 && p.hasPeer(t.snap.server):
		return t.snap.server
	case t.tries == 0 && p.hasPeer(t.source):
		return t.source
	case t.tries%2 == 0 && p.hasPeer(t.origin):
		return t.origin
	case len(p.peers) > 0:
		return p.peers[p.rand.IntN(len(p.peers))]
	}
	return ""
}

func (p *Partition) pull(at At, t *table, server string, after, start uint64) {
	t.pull = &pull{server: server, after: after, start: start, due: at.Mono + p.backOff(p.cfg.PullTimeout, t.tries)}
	p.stats.Pulls++
	p.send(server, &Pull{Origin: t.origin, Incarnation: t.inc, After: after, Start: start})
}

// backOff doubles an interval with each try, up to 16 times, and jitters it by a quarter.
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
		p.send(to, p.vector(false)) // what the asker has in mind is not here: say what is
		return
	}
	c := &Chunk{Origin: t.origin, Incarnation: t.inc, After: q.After, Start: q.Start}
	if q.Start == 0 && q.After < t.floor || q.Start != 0 && q.Start < t.floor {
		c.Start, c.After = t.seq, 0
	}
	if last := len(t.log) - 1; c.Start != 0 && last >= 0 && t.log[last].Seq > t.seq {
		// This replica is itself amid a snapshot: what is above its watermark took the place of records below, and a
		// list without those would sweep claims that stand.
		p.send(to, p.vector(false))
		return
	}
	c.UpTo = max(t.seq, c.After)
	size := 0
	for _, r := range t.log[t.after(c.After):] {
		if r.Seq > t.seq {
			break // part of a snapshot that this replica has not got to the end of
		}
		if !p.current(t, r) || r.Dead && r.Seq <= c.Start {
			continue
		}
		if size > 0 && size+sizeOf(r) > p.cfg.ChunkBytes {
			c.UpTo, c.More = c.Records[len(c.Records)-1].Seq, true
			break
		}
		size += sizeOf(r)
		c.Records = append(c.Records, r)
	}
	p.send(to, c)
}

// receiveChunk takes the answer to the pull under way; any other is late or doubled.
func (p *Partition) receiveChunk(at At, t *table, from string, c *Chunk) {
	q := t.pull
	if q == nil || q.server != from {
		p.stats.Ignored++
		return
	}
	fresh := c.Start != 0 && c.After == 0 && c.Start != q.start
	if !fresh && (c.After != q.after || c.Start != q.start) {
		p.stats.Ignored++
		return
	}
	t.pull = nil
	if c.Start == 0 {
		p.takeDelta(at, t, from, c)
	} else {
		p.takeSnapshot(at, t, from, c, fresh)
	}
	p.drain(at, t)
	p.aim(at, t)
	p.pullMore(at)
}

func (p *Partition) takeDelta(at At, t *table, from string, c *Chunk) {
	if c.After > t.seq {
		return
	}
	t.snap = nil
	progress := c.UpTo > t.seq
	for _, r := range c.Records {
		p.applyNews(at, t, r)
	}
	t.seq = max(t.seq, c.UpTo)
	p.pulled(at, t, from, progress)
}

func (p *Partition) takeSnapshot(at At, t *table, from string, c *Chunk, fresh bool) {
	if fresh {
		p.stats.Resyncs++
		t.snap = &snapshot{server: from, start: c.Start, seen: make(map[uint64]struct{}, len(c.Records))}
	}
	s := t.snap
	if s == nil || s.start != c.Start || s.next != c.After {
		t.snap = nil
		p.pulled(at, t, from, false)
		return
	}
	for _, r := range c.Records {
		s.seen[r.Seq] = struct{}{}
		p.applyNews(at, t, r)
	}
	s.next = c.UpTo
	if c.More {
		t.tries, t.source = 0, from
		p.pull(at, t, from, s.next, s.start)
		return
	}
	t.snap = nil
	p.sweep(at, t, c.UpTo, s.seen)
	progress := c.UpTo > t.seq
	t.seq = max(t.seq, c.UpTo)
	t.floor = max(t.floor, c.Start)
	p.pulled(at, t, from, progress)
}

// sweep drops the claims that a snapshot up to a point did not list: their tombstones
// are gone where it came from.
func (p *Partition) sweep(at At, t *table, upTo uint64, seen map[uint64]struct{}) {
	var gone []*Record
	for r := range p.living(t) {
		if _, ok := seen[r.Seq]; !ok && r.Seq <= upTo {
			gone = append(gone, r)
		}
	}
	for _, r := range gone {
		t.stale++
		p.replace(at, r.Name, t.origin, nil, &Record{Name: r.Name, Node: r.Node, Dead: true, Why: WhyMissing})
	}
	p.compact(t)
}

// pulled decides who is asked for the rest, if there is one.
func (p *Partition) pulled(at At, t *table, from string, progress bool) {
	if progress {
		t.tries, t.source, t.retry = 0, from, 0
		return
	}
	t.tries++
	t.retry = at.Mono + p.backOff(p.cfg.GapPatience, t.tries)
}

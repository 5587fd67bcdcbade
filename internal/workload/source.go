package workload

import "math/rand/v2"

// A Source yields the keys that one worker requests. It is not safe for concurrent use.
type Source interface {
	// Next returns the next key. It returns false when there are no more, which
	// happens only at the end of a trace that is not looped. It allocates
	// nothing.
	Next() (key uint64, ok bool)
}

// Source returns the keys of one worker. The same seed and worker always give the same keys.
// Scanning workers start at different keys, worker 0 at the first. Workers share a trace: each
// request goes to the next worker that calls Next, so together they replay the trace in order.
func (s *Space) Source(worker uint64) Source {
	keys := s.cfg.Keys
	switch keys.Kind {
	case KindScan:
		return &scanSource{space: s, next: s.scanStart(worker)}
	case KindUniform:
		return &uniformSource{space: s, rand: Stream(s.cfg.Seed, pathKeys, worker)}
	case KindZipfScan:
		return &zipfScanSource{
			space:  s,
			rand:   Stream(s.cfg.Seed, pathKeys, worker),
			length: min(keys.scanLength(s.count), s.count),
			begin:  keys.scanBegin(s.count),
		}
	case KindTrace:
		return traceSource{space: s}
	default:
		return &zipfSource{space: s, rand: Stream(s.cfg.Seed, pathKeys, worker)}
	}
}

func (s *Space) scanStart(worker uint64) uint64 {
	if worker == 0 {
		return 0
	}
	return Stream(s.cfg.Seed, pathScan, worker).Uint64N(s.count)
}

// after returns the key that a scan reads after the given one.
func (s *Space) after(key uint64) uint64 {
	if key+1 == s.count {
		return 0
	}
	return key + 1
}

type zipfSource struct {
	space *Space
	rand  *rand.Rand
}

func (z *zipfSource) Next() (uint64, bool) { return z.space.Key(z.space.zipf.Draw(z.rand)), true }

type uniformSource struct {
	space *Space
	rand  *rand.Rand
}

func (u *uniformSource) Next() (uint64, bool) { return u.rand.Uint64N(u.space.count), true }

// scanSource yields the keys in numerical order, not by rank: a scan is sequential in storage.
type scanSource struct {
	space *Space
	next  uint64
}

func (c *scanSource) Next() (uint64, bool) {
	key := c.next
	c.next = c.space.after(key)
	return key, true
}

type zipfScanSource struct {
	space  *Space
	rand   *rand.Rand
	length uint64  // of a scan
	begin  float64 // the probability that a request outside a scan begins one
	left   uint64  // remaining requests of the current scan
	next   uint64  // the scan's next key
}

func (z *zipfScanSource) Next() (uint64, bool) {
	if z.left == 0 {
		if z.rand.Float64() >= z.begin {
			return z.space.Key(z.space.zipf.Draw(z.rand)), true
		}
		z.left, z.next = z.length, z.rand.Uint64N(z.space.count)
	}
	key := z.next
	z.left--
	z.next = z.space.after(key)
	return key, true
}

type traceSource struct{ space *Space }

func (t traceSource) Next() (uint64, bool) {
	ids := t.space.cfg.Trace
	i := t.space.cursor.Add(1) - 1
	if i >= uint64(len(ids)) {
		if !t.space.cfg.Loop {
			return 0, false
		}
		i %= uint64(len(ids))
	}
	return uint64(ids[i]), true
}

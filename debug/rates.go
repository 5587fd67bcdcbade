package debug

import "time"

// rates hold the counts of earlier views of a source, by which it shows how fast they grow.
type rates struct {
	earlier []counted // the oldest first
}

// A counted has the counts of one view.
type counted struct {
	at     time.Time
	counts map[string]uint64
}

const (
	// rateWindow is the time that rates look back, if there were views in it.
	rateWindow = time.Minute
	// rateStep is the least time between two views that are kept.
	rateStep = 2 * time.Second
	// leastWindow is the least time for which a rate is more than noise.
	leastWindow = 500 * time.Millisecond
)

// since returns the counts of the view by which rates are computed now: the oldest one of the last
// minute, or else the newest one. ok is false if there is none.
func (r *rates) since(now time.Time) (c counted, ok bool) {
	for len(r.earlier) > 1 && now.Sub(r.earlier[0].at) > rateWindow {
		r.earlier = r.earlier[1:]
	}
	if len(r.earlier) == 0 || now.Sub(r.earlier[0].at) < leastWindow {
		return c, false
	}
	return r.earlier[0], true
}

// keep keeps the counts of a view, unless another one was kept a moment ago.
func (r *rates) keep(now time.Time, counts map[string]uint64) {
	if n := len(r.earlier); n == 0 || now.Sub(r.earlier[n-1].at) >= rateStep {
		r.earlier = append(r.earlier, counted{now, counts})
	}
}

// setCounts sets the counts of v, and what follows from them.
func (v *Section) setCounts(s *source, counts []Count, now time.Time) {
	v.counts, v.Counts = counts, make(map[string]uint64, len(counts))
	for _, c := range counts {
		v.Counts[c.Name] = c.Value
	}
	v.HitRatio = ratio(v.Counts["hits"], v.Counts["misses"])
	s.mu.Lock()
	base, ok := s.past.since(now)
	s.past.keep(now, v.Counts)
	s.mu.Unlock()
	if !ok {
		return
	}
	v.WindowSeconds = now.Sub(base.at).Seconds()
	v.PerSecond = make(map[string]float64, len(counts))
	for _, c := range counts {
		if !c.Gauge {
			v.PerSecond[c.Name] = float64(grown(c.Value, base.counts[c.Name])) / v.WindowSeconds
		}
	}
	v.RecentHitRatio = ratio(grown(v.Counts["hits"], base.counts["hits"]),
		grown(v.Counts["misses"], base.counts["misses"]))
}

// grown returns by how much a count has grown. One that is not exact may seem to shrink.
func grown(now, before uint64) uint64 { return now - min(now, before) }

// ratio returns the share of hits, or nil if there is nothing to share.
func ratio(hits, misses uint64) *float64 {
	if hits+misses == 0 {
		return nil
	}
	r := float64(hits) / float64(hits+misses)
	return &r
}

package memory

import "slices"

// A Result is the result of a run.
type Result struct {
	Cells []*Cell `json:"cells"`

	Partial bool `json:"-"` // the run was stopped before its end
}

// A Cell is a store with a setting of the collector.
type Cell struct {
	Store string `json:"store"`
	Setting
	Samples []Sample           `json:"samples"`
	Begin   map[string]float64 `json:"begin_seconds"` // of each phase
	Totals
}

// within returns the samples of a phase.
func (c *Cell) within(phase string) []Sample {
	from, to := c.Begin[phase], c.last().T
	for _, begin := range c.Begin {
		if begin > from && begin < to {
			to = begin
		}
	}
	var in []Sample
	for _, s := range c.Samples {
		if s.T >= from && s.T <= to {
			in = append(in, s)
		}
	}
	return in
}

// most returns the maximum of a value over all samples.
func (c *Cell) most(value func(Sample) float64) (most float64) {
	for _, s := range c.Samples {
		most = max(most, value(s))
	}
	return most
}

// PeakHeap returns the largest heap, in bytes.
func (c *Cell) PeakHeap() float64 { return c.most(func(s Sample) float64 { return s.Heap }) }

// PeakInUse returns the largest amount of memory that counted towards the limit, in bytes.
func (c *Cell) PeakInUse() float64 { return c.most(func(s Sample) float64 { return s.InUse }) }

// last returns the last sample.
func (c *Cell) last() Sample { return c.Samples[len(c.Samples)-1] }

// Left returns the live heap at the end, in bytes.
func (c *Cell) Left() float64 { return c.last().Live }

// CPU returns the processor time of a phase, in seconds.
func (c *Cell) CPU(phase string) float64 {
	in := c.within(phase)
	if len(in) == 0 {
		return 0
	}
	return in[len(in)-1].CPUSeconds - in[0].CPUSeconds
}

// GCShare returns the fraction of the processor time that collections took. Both times are the
// runtime's estimates, which include time that other processes took of a core.
func (c *Cell) GCShare() float64 {
	last := c.last()
	if last.Busy == 0 {
		return 0
	}
	return last.GCSeconds / last.Busy
}

// Pause returns the longest time that collections stopped everything, in seconds.
func (c *Cell) Pause() float64 { return c.most(func(s Sample) float64 { return s.Pause }) }

// HitRatio returns the fraction of reads that found a value.
func (c *Cell) HitRatio() float64 { return float64(c.Hits) / float64(max(c.Gets, 1)) }

// settings returns the settings of the cells that match, in order.
func (r *Result) settings(match func(Setting) bool) (all []Setting) {
	for _, c := range r.Cells {
		if match(c.Setting) && !slices.Contains(all, c.Setting) {
			all = append(all, c.Setting)
		}
	}
	return all
}

// Filters for settings.
func unlimited(s Setting) bool { return s.Limit == 0 && s.TTL == 0 }
func limited(s Setting) bool   { return s.Limit > 0 }
func expiring(s Setting) bool  { return s.TTL > 0 }

// under returns the cells of a setting.
func (r *Result) under(s Setting) (cells []*Cell) {
	for _, c := range r.Cells {
		if c.Setting == s {
			cells = append(cells, c)
		}
	}
	return cells
}

// find returns the cell of a store with a setting, or nil.
func (r *Result) find(store string, s Setting) *Cell {
	for _, c := range r.under(s) {
		if c.Store == store {
			return c
		}
	}
	return nil
}

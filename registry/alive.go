package registry

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A pulse is the bound on a holder's silence. It counts in the registry's endings, since its
// timer's function may be running.
type pulse struct {
	within time.Duration
	last   atomic.Int64 // when the holder last called Alive: Mono
	timer  *time.Timer
}

// RequireAlive bounds the holder's silence: from now on no more than within may pass between two
// calls of [Registration.Alive]. If more does, the name is released, and the registration's context
// ends with a [*SilentError], so that a holder that hangs does not keep its name for ever. Choose a
// bound well above the longest pause of a healthy holder, such as a stopped process.
//
// A further call replaces the bound, and counts as a call of Alive; 0 or less removes the bound.
// RequireAlive does nothing once the registration has ended. It does not block.
func (g *Registration) RequireAlive(within time.Duration) {
	p := g.part
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.regs[g.name] != g {
		return
	}
	g.stopPulse()
	if within <= 0 {
		return
	}
	b := &pulse{within: within}
	b.last.Store(int64(p.reg.now().Mono))
	p.reg.endings.Add(1)
	b.timer = time.AfterFunc(within, func() { g.check(b) })
	g.pulse.Store(b)
}

// Alive notes that the holder is alive, see [Registration.RequireAlive]. It returns nil, or the
// cause with which the registration has ended. Call it where the work is done, never from a ticker,
// which goes on while the work hangs. It takes no lock and does not block.
func (g *Registration) Alive() error {
	if err := context.Cause(g.ctx); err != nil {
		return err
	}
	if b := g.pulse.Load(); b != nil {
		b.last.Store(int64(g.part.reg.now().Mono))
	}
	return nil
}

// stopPulse removes the bound. The caller holds the part's mu.
func (g *Registration) stopPulse() {
	b := g.pulse.Swap(nil)
	if b != nil && b.timer.Stop() {
		g.part.reg.endings.Done()
	}
	// Otherwise check runs, or will, and finds that b is not the bound any more.
}

// check releases the name if the holder has been silent for too long, and otherwise checks again
// later.
func (g *Registration) check(b *pulse) {
	p := g.part
	var e effects
	var silent *SilentError
	p.mu.Lock()
	at := p.reg.now()
	since := at.Mono - time.Duration(b.last.Load())
	switch {
	case g.pulse.Load() != b: // the registration has ended, or has another bound
	case since < b.within:
		b.timer.Reset(b.within - since)
		p.mu.Unlock()
		return
	default:
		g.pulse.Store(nil)
		silent = &SilentError{Name: g.name, Within: b.within, Silent: since}
		end := p.withdraw(at, g, replica.WhyReleased, silent)
		p.silent++
		e = p.takeEffects()
		e.ended = append(e.ended, end)
	}
	p.mu.Unlock()
	p.act(e)
	if silent != nil {
		p.reg.log.Warn("a holder hangs, and its name was released", "name", quote(g.name),
			"silent", silent.Silent, "within", b.within)
	}
	p.reg.endings.Done()
}

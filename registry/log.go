package registry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// logEvents logs the events that an operator should look into, and at level Debug all of them.
func (r *Registry) logEvents(partition int, events []replica.Event) {
	if len(events) == 0 {
		return
	}
	debug := r.log.Enabled(r.life, slog.LevelDebug)
	for _, event := range events {
		e, ok := eventOf(event)
		if !ok {
			continue
		}
		switch e.Kind {
		case Disagreement:
			r.log.Warn("nodes disagree on who keeps a name: is the resolver symmetric, and the same on all?",
				"name", quote(e.Name), "kept", e.Claim.Node, "elsewhere", e.Other.Node)
		case ResolverPanic:
			r.log.Warn("the resolver panicked; the default order decided",
				"name", quote(e.Name), "error", e.Err)
		case Conflict:
			r.conflicts.count(e.Other.Node == r.cfg.NodeName)
			fallthrough
		default:
			if debug {
				r.log.LogAttrs(context.Background(), slog.LevelDebug, e.String(),
					slog.Int("partition", partition))
			}
		}
	}
}

// A conflictLog logs conflicts, of which there may be thousands after a split, in one line a
// second.
type conflictLog struct {
	seen, lost atomic.Int64
	last       int64 // when the last line was written: Mono; for the alarm's goroutine alone
}

func (c *conflictLog) count(lost bool) {
	c.seen.Add(1)
	if lost {
		c.lost.Add(1)
	}
}

// log writes the line if it is due, and returns when the next is. The alarm calls it, which rings
// soon after a conflict.
func (c *conflictLog) log(r *Registry) (next int64) {
	if c.seen.Load() == 0 {
		return never
	}
	now := int64(time.Since(r.started))
	if next := c.last + int64(time.Second); now < next {
		return next
	}
	c.last = now
	r.log.Info("conflicts were resolved", "conflicts", c.seen.Swap(0), "lost here", c.lost.Swap(0))
	return never
}

package registry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// logEvents logs what somebody should look into, and at level Debug everything.
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
			r.log.Warn("nodes disagree on who keeps a name: is the resolver symmetric, and the same everywhere?",
				"name", quote(e.Name), "kept", e.Claim.Node, "elsewhere", e.Other.Node)
		case ResolverPanic:
			r.log.Warn("the resolver panicked; the default order decided", "name", quote(e.Name), "error", e.Err)
		case Conflict:
			r.conflicts.count(e.Other.Node == r.cfg.NodeName)
			fallthrough
		default:
			if debug {
				r.log.LogAttrs(context.Background(), slog.LevelDebug, e.String(), slog.Int("partition", partition))
			}
		}
	}
}

// A conflictLog turns conflicts, which may come by the thousand after a split, into a line a second.
type conflictLog struct {
	seen, lost atomic.Int64
	last       atomic.Int64 // when the last line was written: Mono
}

func (c *conflictLog) count(lost bool) {
	c.seen.Add(1)
	if lost {
		c.lost.Add(1)
	}
}

// log writes the line, if it is due. Each partition's goroutine calls it now and then.
func (c *conflictLog) log(r *Registry) {
	if c.seen.Load() == 0 {
		return
	}
	now, last := int64(time.Since(r.started)), c.last.Load()
	if now-last < int64(time.Second) || !c.last.CompareAndSwap(last, now) {
		return
	}
	r.log.Info("conflicts were settled", "conflicts", c.seen.Swap(0), "lost here", c.lost.Swap(0))
}

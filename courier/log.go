package courier

import (
	"context"
	"errors"
	"log/slog"

	"github.com/snowfence/snowfence/courier/internal/guard"
	"github.com/snowfence/snowfence/internal/eventlog"
)

// WithLogger logs events that need attention: that functions of a key hang so that it is
// refused, and that it works again; time-outs, panics and calls of runtime.Goexit; that callers are
// refused because of a limit; that a key begins to back off, and that this has ended. Of each of
// these kinds one line in ten seconds is logged, which counts the ones that were left out since
// ("suppressed"). Without this option, or with nil, nothing is logged.
//
// Lines have the attributes "courier" (WithName), "key" (WithKeyText) or "keys" (how many a DoMany
// has) and, where there is one, "error". Texts of errors come from the fetch functions, and may
// contain keys. At slog.LevelDebug the lines of time-outs and panics have a "stack", too.
//
// The handler is called in a goroutine of its own, one call at a time, without locks, so that one
// that blocks or panics delays the log and nothing else. The goroutine ends when there is nothing
// more to log; Shutdown does not wait for it.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		c.logger = l
		return nil
	}
}

// The kinds of events. Those of refusals follow, by their reasons.
const (
	eventGivenUp = iota
	eventWorks
	eventAllWork
	eventTimeout
	eventPanic
	eventGoexit
	eventBackoff
	eventBackoffEnd
	eventRefusal
	numEvents = eventRefusal + int(QueueWait) + 1
)

// logEvent logs an event of f, with the attributes that more returns: nil is none. Locks may be
// held; more is called later, without any.
func (f *flight[K, V]) logEvent(kind int, level slog.Level, text string, more moreAttrs) {
	c := f.shard.courier
	ok, suppressed := c.log.Allow(kind)
	if !ok {
		return
	}
	if !f.isCarrier() {
		c.addEvent(kind, suppressed, level, text, f.key, f.hash, more)
		return
	}
	keys := len(f.batch.passengers)
	c.log.Add(kind, suppressed, level, text, func(l *slog.Logger) []slog.Attr {
		return more.appendTo([]slog.Attr{slog.String("courier", c.Name()), slog.Int("keys", keys)}, l)
	})
}

// addEvent logs an event of a key, which has been allowed.
func (c *Courier[K, V]) addEvent(
	kind, suppressed int, level slog.Level, text string, key K, hash uint32, more moreAttrs,
) {
	c.log.Add(kind, suppressed, level, text, func(l *slog.Logger) []slog.Attr {
		return more.appendTo([]slog.Attr{
			slog.String("courier", c.Name()), slog.String("key", c.keyText(key, hash)),
		}, l)
	})
}

// moreAttrs returns further attributes of an event.
type moreAttrs func(*slog.Logger) []slog.Attr

func (more moreAttrs) appendTo(attrs []slog.Attr, l *slog.Logger) []slog.Attr {
	if more == nil {
		return attrs
	}
	return append(attrs, more(l)...)
}

// withError returns the attributes of err: its stack, too, if the logger wants that much.
func withError(err error) moreAttrs {
	return func(l *slog.Logger) []slog.Attr {
		attrs := []slog.Attr{slog.Any("error", err)}
		if !l.Enabled(context.Background(), slog.LevelDebug) {
			return attrs
		}
		var panicked *PanicError
		var late *TimeoutError
		switch {
		case errors.As(err, &panicked):
			return append(attrs, slog.String("stack", string(panicked.Stack)))
		case errors.As(err, &late) && late.Stack != nil:
			return append(attrs, slog.String("stack", string(late.Stack)))
		}
		return attrs
	}
}

// logGivenUp logs that functions of f's key are stuck, as many as may be.
func (f *flight[K, V]) logGivenUp(functions int) {
	if f.shard.courier.log == nil {
		return
	}
	f.logEvent(eventGivenUp, slog.LevelWarn,
		"functions of a key hang: it is refused, except for a probe now and then",
		func(*slog.Logger) []slog.Attr { return []slog.Attr{slog.Int("functions", functions)} })
}

// logWorks logs that f's key, which was given up, works again.
func (f *flight[K, V]) logWorks() {
	f.logEvent(eventWorks, slog.LevelInfo, "a key works again, and is no longer refused", nil)
}

// logAllWork logs that a probe past the bound in all has succeeded.
func (f *flight[K, V]) logAllWork() {
	f.logEvent(eventAllWork, slog.LevelInfo,
		"functions return again: keys are no longer refused because of others that hang", nil)
}

// logTimeout logs that f has timed out with err.
func (f *flight[K, V]) logTimeout(err error) {
	if f.shard.courier.log != nil {
		f.logEvent(eventTimeout, slog.LevelWarn, "a flight timed out", withError(err))
	}
}

// logDeath logs that the function of f, or a linked child, has ended with err, that way.
func (f *flight[K, V]) logDeath(how guard.Ending, err error) {
	switch {
	case f.shard.courier.log == nil:
	case how == guard.Panicked:
		f.logEvent(eventPanic, slog.LevelError, "a function panicked", withError(err))
	case how == guard.Exited:
		f.logEvent(eventGoexit, slog.LevelError, "a function called runtime.Goexit", nil)
	}
}

// logBackoff logs that f's key begins to back off because of err, if that is so. s.mu is held.
func (s *shard[K, V]) logBackoff(f *flight[K, V], err error) {
	if s.courier.log == nil {
		return
	}
	r := s.history.find(f.key)
	if r == nil || r.inRow != 1 {
		return
	}
	until := r.failed.Until
	f.logEvent(eventBackoff, slog.LevelWarn, "a key backs off", func(l *slog.Logger) []slog.Attr {
		return append(withError(err)(l), slog.Time("until", until))
	})
}

// logBackoffEnd logs that f has succeeded, and its key no longer backs off, if it did. s.mu is
// held.
func (s *shard[K, V]) logBackoffEnd(f *flight[K, V]) {
	if s.courier.log == nil {
		return
	}
	r := s.history.find(f.key)
	if r == nil || r.inRow == 0 {
		return
	}
	failures := r.inRow
	f.logEvent(eventBackoffEnd, slog.LevelInfo, "a key no longer backs off",
		func(*slog.Logger) []slog.Attr { return []slog.Attr{slog.Int("failures", failures)} })
}

// logRefusal logs that a caller or flight was refused. That functions of its key hang has been
// logged when it was given up.
func (c *Courier[K, V]) logRefusal(key K, hash uint32, why OverloadReason) {
	kind := eventRefusal + int(why)
	if c.log == nil || why == KeyStuck {
		return
	}
	if ok, suppressed := c.log.Allow(kind); ok {
		c.addEvent(kind, suppressed, slog.LevelWarn, "a limit is reached, and callers are refused", key,
			hash, func(*slog.Logger) []slog.Attr {
				return []slog.Attr{slog.String("limit", why.String())}
			})
	}
}

// newLog returns the log of a courier with that configuration; nil: it has none.
func newLog(cfg *config) *eventlog.Log { return eventlog.New(cfg.logger, numEvents) }

// Package eventlog logs events that need attention, without delaying the goroutines that report
// them: lines that repeat are suppressed, and a handler that blocks or panics stops nothing but the
// log.
//
// Open log.go first: a [Log] has kinds of events, each with a [Limit]. A [Limiter] has limits by
// text, for logs whose lines are not known beforehand.
package eventlog

import (
	"context"
	"log/slog"
	"runtime/pprof"
	"sync"
	"time"
)

// maxQueued bounds the events that wait for the handler. Each kind has one in ten seconds, so they
// are as many only while a call of the handler blocks.
const maxQueued = 32

// A Log hands events to a logger, one at a time, in a goroutine that ends when there are no more.
// So a caller of Add never waits for the handler, and may hold locks. If a call of the handler
// blocks, later events wait, and those that find too many waiting are suppressed. A panic or Goexit
// of the handler ends one call. The methods are safe for concurrent use; those of a nil *Log do
// nothing.
type Log struct {
	logger *slog.Logger
	began  time.Time
	limits []Limit // by kind

	mu      sync.Mutex // guards the following; no other lock is taken while it is held
	queue   []event
	running bool // the goroutine
}

// An event is a line to be logged.
type event struct {
	level      slog.Level
	text       string
	suppressed int
	attrs      func(*slog.Logger) []slog.Attr
}

// New returns a Log with that number of kinds of events, or nil if logger is nil.
func New(logger *slog.Logger, kinds int) *Log {
	if logger == nil {
		return nil
	}
	return &Log{logger: logger, began: time.Now(), limits: make([]Limit, kinds)}
}

// Allow reports whether an event of that kind is to be logged now, and how many were suppressed
// since the last one. If so, the caller calls Add. Allow does not block.
func (l *Log) Allow(kind int) (ok bool, suppressed int) {
	if l == nil {
		return false, 0
	}
	return l.limits[kind].Allow(time.Since(l.began))
}

// Add logs an event that Allow let pass. It does not block. attrs is called in the goroutine of the
// log, without locks, and may call functions of the user.
func (l *Log) Add(
	kind, suppressed int, level slog.Level, text string, attrs func(*slog.Logger) []slog.Attr,
) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxQueued {
		l.limits[kind].Return(suppressed + 1)
		return
	}
	l.queue = append(l.queue, event{level, text, suppressed, attrs})
	if !l.running {
		l.running = true
		go l.drain()
	}
}

// drain logs the events until there are none left.
func (l *Log) drain() {
	// Without this a profile shows the goroutine as one of the flight that had the first event.
	pprof.SetGoroutineLabels(context.Background())
	done := false
	defer func() {
		if !done { // the handler has called Goexit
			go l.drain()
		}
	}()
	for {
		e, ok := l.next()
		if !ok {
			done = true
			return
		}
		l.log(e)
	}
}

// next takes the first event out of the queue. If there is none, the goroutine ends.
func (l *Log) next() (e event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.queue, l.running = nil, false
		return e, false
	}
	e, l.queue = l.queue[0], l.queue[1:]
	return e, true
}

// log calls the handler.
func (l *Log) log(e event) {
	defer func() { _ = recover() }()
	attrs := e.attrs(l.logger)
	if e.suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", e.suppressed))
	}
	l.logger.LogAttrs(context.Background(), e.level, e.text, attrs...)
}

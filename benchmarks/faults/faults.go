package main

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"time"
)

// key is the only key that is fetched.
const key = "k"

// The values, which identify the source of a caller's value.
const (
	oldValue = "old" // of the first load
	newValue = "new" // of every later load
	setValue = "set" // set during the first load
)

// The deadlines of callers. If the load does not hang, only callers that get no answer reach
// theirs, so it is long enough for a busy machine.
const (
	callerDeadline = 3 * time.Second
	hangDeadline   = 200 * time.Millisecond
	noDeadline     = 0
)

// A fault is a way for the first load of a key to go wrong.
type fault struct {
	name  string // on the command line
	title string // in the table, short
	what  string // a description

	// load is the rest of the first load, once all callers wait.
	load func(ctx context.Context, t *trial) (string, error)
	// meanwhile runs once all callers wait, before the load goes on.
	meanwhile func(t *trial)

	deadline time.Duration // of each caller; 0: none
	recovers bool          // callers recover from panics
	spread   bool          // callers come over a second, while the first load hangs already
	leaves   bool          // the first caller is cancelled, and not counted
	deletes  bool          // meanwhile deletes the key
	sets     bool          // meanwhile sets the key
}

func returns(context.Context, *trial) (string, error) { return oldValue, nil }

func panics(context.Context, *trial) (string, error) { panic("the load panics") }

func hang(_ context.Context, t *trial) (string, error) {
	<-t.release
	return oldValue, nil
}

// faults are the rows, in the table's order.
var faults = []fault{
	{
		name: "panic", title: "panic", what: "the load panics; callers do not recover",
		load: panics, deadline: callerDeadline,
	},
	{
		name: "panic-recovered", title: "panic, recovered",
		what: "the load panics; callers recover, as HTTP handlers do",
		load: panics, deadline: callerDeadline, recovers: true,
	},
	{
		name: "goexit", title: "Goexit", what: "the load calls runtime.Goexit, as t.FailNow does",
		load: func(context.Context, *trial) (string, error) {
			runtime.Goexit()
			return "", nil
		},
		deadline: callerDeadline,
	},
	{
		name: "hang", title: "hang, no deadline",
		what: "the load never returns; callers have no deadline",
		load: hang, deadline: noDeadline,
	},
	{
		name: "hang-deadline", title: "hang, deadline",
		what: "the load never returns; callers have a deadline of 200ms",
		load: hang, deadline: hangDeadline,
	},
	{
		name: "hang-hot", title: "hang, more come",
		what: "the load never returns; callers with a deadline of 200ms come over a second",
		load: hang, deadline: hangDeadline, spread: true,
	},
	{
		name: "first-cancelled", title: "first cancelled",
		what: "the first caller is cancelled, and the load heeds its context",
		load: func(ctx context.Context, _ *trial) (string, error) {
			work := time.NewTimer(settle)
			defer work.Stop()
			select {
			case <-work.C:
				return oldValue, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		},
		meanwhile: func(t *trial) { t.cancelFirst() },
		deadline:  callerDeadline, leaves: true,
	},
	{
		name: "k-in-k", title: "k within k", what: "the load of k fetches k",
		load:     func(ctx context.Context, t *trial) (string, error) { return t.subject.fetch(ctx) },
		deadline: callerDeadline,
	},
	{
		name: "delete", title: "Delete meanwhile",
		what: "the source changes and the key is deleted during the load",
		load: returns, meanwhile: func(t *trial) { t.subject.del() },
		deadline: callerDeadline, deletes: true,
	},
	{
		name: "set", title: "Set meanwhile", what: "the key is set during the load",
		load: returns, meanwhile: func(t *trial) { t.subject.set(setValue) },
		deadline: callerDeadline, sets: true,
	},
}

func (f fault) id() string   { return f.name }
func (l library) id() string { return l.name }

// find returns the element of all with that name.
func find[T interface{ id() string }](all []T, name string) (found T, ok bool) {
	at := slices.IndexFunc(all, func(x T) bool { return x.id() == name })
	if at < 0 {
		return found, false
	}
	return all[at], true
}

// list returns the names of all, with commas between.
func list[T interface{ id() string }](all []T) string {
	names := make([]string, len(all))
	for i, x := range all {
		names[i] = x.id()
	}
	return strings.Join(names, ", ")
}

package cachetest

import (
	"fmt"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// A Fault says what a call of Load or LoadMany does instead of answering. The zero value is [None].
type Fault struct {
	kind  kind
	err   error         // of Error
	value any           // of Panic
	delay time.Duration // of Slow and After
	nth   int           // of Every; 0: every call
}

type kind uint8

const (
	none kind = iota
	failing
	panicking
	exiting
	hanging
)

// None makes a call answer.
func None() Fault { return Fault{} }

// Error makes a call return err. It panics if err is nil.
func Error(err error) Fault {
	if err == nil {
		panic("cachetest: Error(nil): want an error")
	}
	return Fault{kind: failing, err: err}
}

// NotFound makes a call find no record: Load returns [cache.ErrNotFound], and the key is missing
// from the map of LoadMany.
func NotFound() Fault { return Error(cache.ErrNotFound) }

// Panic makes a call panic with value.
func Panic(value any) Fault { return Fault{kind: panicking, value: value} }

// Goexit makes a call end its goroutine by runtime.Goexit.
func Goexit() Fault { return Fault{kind: exiting} }

// Hang makes a call block until [Origin.Release], whatever happens to its context. Then it answers.
func Hang() Fault { return Fault{kind: hanging} }

// Slow makes a call take d longer than [Origin.SetLatency] says. Then it answers, unless its
// context has ended before. Slow panics if d is negative.
func Slow(d time.Duration) Fault {
	checkDuration("Slow", d)
	return Fault{delay: d}
}

// After returns f for a call that takes d longer than [Origin.SetLatency] says, unless its context
// ends before. After panics if d is negative.
func (f Fault) After(d time.Duration) Fault {
	checkDuration("After", d)
	f.delay = d
	return f
}

// Every returns a fault that strikes only each n-th call of a key, counted from the key's first
// call: Error(err).Every(3) is that of a flaky origin, which fails in one of three calls. Every
// panics if n is less than 1.
func (f Fault) Every(n int) Fault {
	if n < 1 {
		panic(fmt.Sprintf("cachetest: Every(%d): want 1 or more", n))
	}
	f.nth = n
	return f
}

// at returns what f does to the n-th call of a key.
func (f Fault) at(n int) Fault {
	if f.nth > 1 && n%f.nth != 0 {
		return None()
	}
	return f
}

func checkDuration(name string, d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("cachetest: %s(%v): want 0 or more", name, d))
	}
}

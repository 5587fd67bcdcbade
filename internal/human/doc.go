// Package human writes durations, rates, sizes and counts the way a person
// reads them.
//
// Two to three digits are kept, because a load test never repeats the fourth.
// A value that rounds up to the next unit is shown in that unit, so there is
// no "1000 µs". A value that is not a finite number is written as [Missing].
// All functions are pure and safe for concurrent use.
package human

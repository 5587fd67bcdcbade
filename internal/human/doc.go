// Package human formats durations, rates, sizes and counts for people.
//
// It keeps two to three digits, because a fourth differs between runs of a load test. A value that
// rounds up to the next unit is shown in that unit, so there is no "1000 µs". NaN and infinite
// values are formatted as [Missing].
package human

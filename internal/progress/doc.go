// Package progress draws one live line on a terminal.
//
// The line is redrawn in place with a carriage return and spaces; no escape
// code and no colour is used, so NO_COLOR holds of itself and any terminal will
// do. Where the output is not a terminal, or quiet was asked for, nothing is
// written at all. There is no goroutine: each Update draws, at most ten times a
// second.
//
// The libraries at hand were passed over: they take the width from standard
// output, which may be piped while the line is on standard error, and let a
// long text wrap, which leaves litter behind.
package progress

// Package progress draws a progress line on a terminal.
//
// The line is redrawn in place with a carriage return and spaces. It uses no escape codes and no
// colours, so it respects NO_COLOR and works on any terminal. It writes nothing if the output is
// not a terminal or quiet is set. There is no goroutine: Update draws, at most ten times a second.
//
// Existing libraries take the width from standard output, which may be piped while the line is on
// standard error, and let a long text wrap, so that parts of it stay on the screen.
package progress

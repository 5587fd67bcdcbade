// Package memory measures what a cache leaves behind: it fills a store, churns
// it, shrinks it to a part, and goes on with light traffic, while it samples what
// the Go runtime says about the heap and the garbage collector. It is
// "cachebench memory"; read experiment.go first.
//
// Each cell, a store with a setting of the collector, is a process of its own, so
// that heaps don't mix: cell.go starts it and serve.go is what it runs. The work
// is paced, the same for all, so that processor time can be compared.
//
// What it shows is failure F5 of docs/architecture.md: a long-lived holder that
// touches little of its memory, and never gives it back. Go maps do not shrink;
// tables that are rebuilt after a burst do. And a cache that fills its process up
// to GOMEMLIMIT makes the collector run all the time, unless it gives way.
package memory

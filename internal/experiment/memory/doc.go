// Package memory measures how much memory a cache keeps. It fills a store, churns it, shrinks it to
// a part, and goes on with light traffic, while it samples the metrics of the Go runtime for the
// heap and the garbage collector. It is "cachebench memory"; read experiment.go first.
//
// Each cell, a store with a setting of the collector, is a process of its own, so that cells do not
// share a heap: cell.go starts it, and it runs serve.go. The rate of operations is the same for
// all, so that processor time can be compared.
//
// It shows failure F5 of docs/architecture.md: a long-lived process that uses little of its memory,
// and never gives it back. Go maps do not shrink; tables that are rebuilt after a burst do. A cache
// that fills its process up to GOMEMLIMIT makes the collector run all the time, unless it sheds
// entries.
package memory

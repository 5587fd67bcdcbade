// Package debug shows what goes on in the caches and couriers of a process: a page for a browser,
// JSON for a program, and text for curl.
//
//	page, err := debug.New(debug.Options{})
//	…
//	page.Add("users", debug.Cache(users))
//	mux.Handle("/debug/snowfence/", page)
//
// Nothing is shown that was not added, and the handler is mounted nowhere by itself. Package
// clusterdebug makes sources of caches of a cluster. Like net/http/pprof, the page is for
// operators: mount it where users can't reach it.
//
// # What it shows
//
// First what needs attention: flights that hang and the line in which they do, keys that rest after
// failures, limits that were reached, members that are not asked. Then, for each source, its
// counts, the flights under way with the stacks of the oldest, the keys that rest, the durations of
// loads by outcome and of callers' waits, the slowest loads of the last minutes, and the hottest
// keys. [Snapshot] describes each of them, and is the JSON.
//
// A flight needs attention if it is late or abandoned (see package courier), or if it is older than
// [Options].Slow. Stacks come from a goroutine profile, which stops the process for a moment. So a
// view takes one only if a flight is a tenth of a second old, and at most one is taken each second,
// also by all time-outs of couriers together: then a young flight has no stack yet, and says so.
// A profile is not taken in a process with more than 10,000 goroutines.
//
// Rates are those since an earlier view, up to a minute or so ago, or longer if there was none.
// Hits are counted by no key. The hottest keys come from a sample of the hits (see
// cache.Cache.Hottest), which begins when the cache is added.
//
// # Personal data
//
// Keys may be personal data, and are shown as courier.KeyText returns them: as a number, unless
// the courier has courier.WithKeyText. [Options].KeyText shows the keys of all sources otherwise.
// Error texts are shown as they are, except that the key itself is replaced in them if it has four
// letters or more. So an error may show another key, or a part of this one. Stacks have the names
// of functions and files, and no arguments.
//
// # Cost
//
// A source costs nothing without views, except for the sample of hits. A view looks at up to
// 100,000 flights of a source, shows [Options].Rows of them, and holds no lock while it formats. A
// source that hangs, because a function of the user such as that of courier.WithKeyText does, is
// given up after two seconds; the other sources are shown, and later views do not wait for it.
//
// # Reading the source
//
// Open debug.go first: ServeHTTP takes a snapshot and writes it. collect.go makes a source's
// section of it, attention.go says what is unusual, and html.go, plain.go and snapshot.go are the
// three formats.
package debug

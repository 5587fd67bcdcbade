// Package run runs load on an embedded cache and measures what its callers see.
//
// Read experiment.go first, then run.go for the course of a run, worker.go for one operation, and
// measures.go for what is shown.
//
// # Closed and open loop
//
// In a closed loop (Rate 0) each worker starts its next operation when it is done with the last.
// That shows how much the cache can do, but not how long clients would have waited: while a worker
// is stuck, the operations that would have come meanwhile are not made, and so not counted as slow.
// (Gil Tene calls this coordinated omission.)
//
// In an open loop operation n is due n/Rate seconds after the start, whatever became of those
// before it. Any free worker takes the next one; if all are busy it starts late. Its latency counts
// from when it was due, so that waiting for a worker is part of it, as it would be for a client.
// The time by which operations began late is reported by itself, too, and the number of those that
// never began.
//
// # What a call turned out to be
//
// A read is one call of Cache.Fetch. Asking the cache first whether it has the key would change
// what is measured: it would count as use and as a hit or a miss. Instead each call brings a
// context of its own kind, a call, whose methods notice that they are used. A hit does not look at
// its context, which Cache.Fetch documents. So
//
//   - hit: no method of the call's context was called;
//   - loaded: the fetch function ran for this call (it finds the call by Context.Value, which the
//     flight passes on from the caller that started it);
//   - joined: neither; the value came from a load that another call started;
//   - stale: Fetch returned the last good value, since no load brought a fresh one in time;
//   - error: Fetch returned one, whoever's load it was.
//
// The call also makes its deadline only when it is asked for it. So a hit pays for none of this,
// and allocates nothing.
//
// # Batches
//
// A read of a batch is one call of Cache.FetchMany, and one operation. It is a hit if all keys
// were there, loaded if its own fetch function ran, joined if it waited for others' loads alone,
// and an error if FetchMany returned one, be it for a single key. Its latency is that of each of
// its keys, since FetchMany returns them together. What became of the keys is counted besides:
// [Keys].
//
// # What measuring costs
//
// A timed operation costs two readings of the clock and one entry in a histogram, all in the
// worker's own memory; Result.TimingCost is that, as measured on the machine at hand. The
// operation's key, kind and value are drawn before its clock starts. Where hits are so fast that
// this matters, SampleHits times one read in n only. A read that is not timed from its start and
// turns out not to be a hit is timed from when the cache gave up looking, a few nanoseconds later;
// so all but hits are always timed.
package run

// Package snowball runs a service in miniature with the courier's link and without, to show what
// the link is worth.
//
// The service ingests events. A generator offers them at a steady rate and never waits: it puts
// each into a bounded queue, or drops it if the queue is full. A bounded pool of workers takes them
// out; each event needs one key, which its worker fetches through a cache, with a time-out of its
// own, from a simulated origin. Within the fault window the fetch function of a few keys crashes,
// hangs or fails. Those keys are called failing here, whenever they are asked for, and all others
// healthy.
//
// [Execute] runs the service with the fix off ([courier.WithUnlinked]) and then with it on. That
// option is all that differs, unless the parameters limit how many callers may wait for one key
// ([courier.WithMaxWaitingPerKey]): then that limit holds with the fix on alone, and the runs show
// both at once. Of the shipped scenarios only the slow one has it. Keys, intended times and faults
// come from the seed. So what differs between the runs is the mechanism's doing, and a fault rate
// of 0 makes them alike, where no limit refuses callers.
//
// Read experiment.go first, then service.go for one run, meter.go for what is counted, and
// measures.go for what is shown.
//
// # How it is measured
//
// Latency counts from the time at which an event was meant to be offered, so that a stalled service
// is not flattered by the events that it did not get to; what was still queued at the end counts
// with the time that it had waited by then. It belongs to the phase in which the event was offered,
// and throughput to the phase in which the work was done.
//
// All time is package time's, so that a run in a testing/synctest bubble takes no time at all.
package snowball

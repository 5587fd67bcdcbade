package courier

import (
	"context"
	"runtime/pprof"

	"github.com/snowfence/snowfence/courier/internal/guard"
	"github.com/snowfence/snowfence/internal/stacks"
)

// Go starts f in a new goroutine that is linked to the flight in ctx: the
// context a fetch function was given, or one derived from it. f gets ctx.
//
// If f panics, calls runtime.Goexit or returns an error while the flight is
// under way, the flight ends with that at once, even while its fetch function
// is stuck waiting for f. If f returns nil, nothing happens. A flight does not
// wait for its children: when it ends, ctx is cancelled, and a child that runs
// on is counted as abandoned until it returns. A child that the fetch function
// ends early, by cancelling a derived context, should return nil: its context's
// error would end the flight.
//
// A goroutine started with a plain go statement can't be linked: its panic
// ends the process, and if Goexit ends it, a fetch function that waits for it
// waits until the flight times out.
//
// Go panics if there is no flight in ctx, since f's end would reach no caller; [InFlight] reports
// whether there is one. It does not block and is safe for concurrent use. Package courier/errgroup
// has groups of such goroutines, and a Wait for their end.
func Go(ctx context.Context, f func(context.Context) error) {
	n := callOf(ctx).flight
	if n == nil {
		panic("courier.Go: no flight in the context; pass the one that the fetch function was given")
	}
	n.Spawn(ctx, f, nil)
}

// InFlight reports whether ctx belongs to a flight: whether it is the context that a fetch
// function was given, or one derived from it, but not one from [Detach]. Then [Go] can be called
// with it, even if the flight is over. It does not block and is safe for concurrent use.
func InFlight(ctx context.Context) bool { return callOf(ctx).flight != nil }

// Spawn starts a linked child.
func (f *flight[K, V]) Spawn(
	ctx context.Context, child func(context.Context) error, ended func(guard.Ending, error),
) {
	s := f.shard
	s.mu.Lock()
	f.running++
	if f.running == 1 { // no other runs: ctx was kept beyond the end of the flight
		s.busy++
	}
	labelled := ctx
	if f.unlabelled { // another flight may have the label
		labelled = context.Background()
		ctx = pprof.WithLabels(ctx, pprof.Labels(stacks.Label, "over")) // for pprof.Do in the child
	}
	if f.ended && !f.abandoned {
		s.abandon(f)
	}
	s.mu.Unlock()

	go func() {
		pprof.SetGoroutineLabels(labelled)
		var o guard.Outcome[struct{}]
		o.AssumeGoexit()
		defer func() {
			err := failure(&o)
			f.childExit(o.How, err)
			if ended != nil {
				ended(o.How, err)
			}
		}()
		o.Run(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, child(ctx) },
			s.courier.cfg.isFailure)
	}()
}

// childExit accounts for a linked child that has ended, whatever ended it. Only a failure ends the
// flight.
func (f *flight[K, V]) childExit(how guard.Ending, err error) {
	f.finish(*new(V), how, err, err != nil && !f.shard.courier.cfg.unlinked)
}

package courier_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

// tally counts the outcomes of the callers of a stress run.
type tally struct {
	calls, values, panics, timeouts, deadlocks, overloads, backedOff, left, late, others, runs,
	refused atomic.Uint64
}

// A storm has many callers, few keys, and random faults. The seed determines the faults, but not
// their interleaving.
type storm struct {
	c     *courier.Courier[int, int]
	keys  int
	tally tally
}

func TestStress(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("replay with -courier.seed=%d", s)
	for name, opts := range map[string][]courier.Option{
		"plain": {courier.WithTimeout(3 * time.Second)},
		"limited": {courier.WithTimeout(3 * time.Second), courier.WithMaxConcurrent(2),
			courier.WithQueueWait(time.Second), courier.WithMaxWaiting(40)},
		"all": {
			courier.WithTimeout(3 * time.Second), courier.WithMaxConcurrent(5), courier.WithQueueWait(0),
			courier.WithMaxAbandoned(2, 8), courier.WithBackoff(10*time.Millisecond, 100*time.Millisecond),
		},
		"as it comes": nil,
		"crowded": {
			courier.WithTimeout(3 * time.Second), courier.WithMaxConcurrent(4), courier.WithMaxWaiting(30),
			courier.WithMaxWaitingPerKey(5), courier.WithMaxAbandoned(4, 20),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := &storm{c: courier.New[int, int](opts...), keys: 6}
				var wg sync.WaitGroup
				for worker := range uint64(48) {
					rnd := rand.New(rand.NewPCG(s, worker))
					wg.Go(func() {
						for range 150 {
							st.call(t, context.Background(), rnd, 3)
							if rnd.IntN(4) == 0 {
								time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
							}
						}
					})
				}
				wg.Wait()
				st.check(t)
			})
		})
	}
}

// call makes one call; depth bounds how far its function nests.
func (st *storm) call(t *testing.T, ctx context.Context, rnd *rand.Rand, depth int) {
	key := rnd.IntN(st.keys)
	switch rnd.IntN(40) {
	case 0:
		st.c.Forget(key)
	case 1:
		st.c.ForgetAll()
	}
	if rnd.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(1000))*time.Millisecond)
		defer cancel()
	}
	switch rnd.IntN(10) {
	case 0:
		ctx = courier.ContextWithLowPriority(ctx)
	case 1:
		ctx = courier.ContextWithLateAge(ctx, time.Duration(rnd.IntN(1000))*time.Millisecond)
	case 2, 3:
		ctx = courier.ContextWithPatience(ctx, time.Duration(rnd.IntN(500)-100)*time.Millisecond)
	}
	asked := &askedContext{Context: ctx}
	// Its own source: the function may run on after the call.
	inner := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
	if rnd.IntN(3) == 0 {
		st.callMany(t, asked, rnd, inner, depth)
		return
	}
	v, _, err := st.c.Do(asked, key, func(ctx context.Context) (int, error) {
		st.tally.runs.Add(1)
		return st.fetch(t, ctx, key, inner, depth)
	})
	st.tally.calls.Add(1)
	if asked.refused {
		st.tally.refused.Add(1)
	}
	st.note(t, ctx, key, v, err)
}

// callMany makes one call for several keys.
func (st *storm) callMany(t *testing.T, asked *askedContext, rnd, inner *rand.Rand, depth int) {
	keys := rnd.Perm(st.keys)[:1+rnd.IntN(4)]
	got := st.c.DoMany(asked, keys,
		func(ctx context.Context, missing []int) ([]courier.Outcome[int], error) {
			st.tally.runs.Add(1)
			_, err := st.fetch(t, ctx, missing[0], inner, depth)
			o := make([]courier.Outcome[int], len(missing))
			for i, key := range missing {
				if o[i].Value = key; inner.IntN(20) == 0 {
					o[i] = courier.Outcome[int]{Err: errBoom}
				}
			}
			return o, err
		})
	for i, o := range got {
		st.tally.calls.Add(1)
		if asked.refused {
			st.tally.refused.Add(1)
		}
		st.note(t, asked.Context, keys[i], o.Value, o.Err)
	}
}

// An askedContext keeps the result of the first call of Err, which is in Do: the context could end
// between a call in the test and Do.
type askedContext struct {
	context.Context
	before, refused bool
}

func (c *askedContext) Err() error {
	err := c.Context.Err()
	if !c.before {
		c.before, c.refused = true, err != nil
	}
	return err
}

// fetch does something at random.
func (st *storm) fetch(
	t *testing.T, ctx context.Context, key int, rnd *rand.Rand, depth int,
) (int, error) {
	pause := time.Duration(rnd.IntN(200)) * time.Millisecond
	switch rnd.IntN(12) {
	case 0:
		panic("boom")
	case 1:
		runtime.Goexit()
	case 2:
		return 0, errBoom
	case 3:
		time.Sleep(10 * time.Second) // ignores the context
	case 4:
		<-ctx.Done()
		return 0, ctx.Err()
	case 5: // a child that dies, while the function waits for it
		courier.Go(ctx, func(context.Context) error {
			time.Sleep(pause)
			switch key % 3 {
			case 0:
				panic(errBoom)
			case 1:
				runtime.Goexit()
			}
			return errBoom
		})
		<-ctx.Done()
	case 6: // a child that makes a call of its own, and outlives the flight perhaps
		if depth > 0 {
			childRnd := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
			courier.Go(ctx, func(ctx context.Context) error {
				st.call(t, ctx, childRnd, depth-1)
				return nil
			})
		}
	case 7, 8, 9:
		if depth > 0 {
			st.call(t, ctx, rnd, depth-1)
		}
	default:
	}
	time.Sleep(pause)
	return key, nil
}

// note counts the outcome of a call, and checks that it is possible.
func (st *storm) note(t *testing.T, ctx context.Context, key, v int, err error) {
	n := &st.tally
	var p *courier.PanicError
	var b *courier.BackoffError
	switch {
	case err == nil:
		assert.Equal(t, key, v, "the value of another key")
		n.values.Add(1)
		return
	case errors.As(err, &b):
		n.backedOff.Add(1)
	case errors.As(err, &p):
		n.panics.Add(1)
	case errors.Is(err, courier.ErrDeadlock):
		n.deadlocks.Add(1)
	case errors.Is(err, courier.ErrOverloaded):
		n.overloads.Add(1)
	case errors.Is(err, courier.ErrLate):
		n.late.Add(1)
	case errors.Is(err, courier.ErrTimeout):
		n.timeouts.Add(1)
	case errors.Is(err, errBoom), errors.Is(err, courier.ErrGoexit):
		n.others.Add(1)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		n.left.Add(1)
	default:
		t.Errorf("key %d: %v", key, err)
	}
	assert.Zero(t, v)
}

func (st *storm) check(t *testing.T) {
	time.Sleep(time.Minute) // of fake time: functions that ignore their context end
	synctest.Wait()
	s, n := st.c.Stats(), &st.tally
	t.Logf("%+v", s)
	still(t, s)
	assert.NoError(t, courier.AtRest(st.c))
	assert.NoError(t, st.c.Shutdown(t.Context()))

	// Each call started a flight, joined one, or was refused; flights that the queue refused had
	// started. A call that got ErrLate at once may or may not have started a flight.
	turnedAway := s.BackedOff + n.refused.Load()
	entered := s.Started + s.Joined
	assert.LessOrEqual(t, entered+turnedAway, n.calls.Load())
	assert.GreaterOrEqual(t, entered+turnedAway+s.Overloads+n.late.Load(), n.calls.Load())
	assert.LessOrEqual(t, n.runs.Load(), s.Started)
	assert.Equal(t, n.deadlocks.Load(), s.Deadlocks)
	assert.Equal(t, n.backedOff.Load(), s.BackedOff)
	for name, seen := range map[string]uint64{
		"values": n.values.Load(), "panics": n.panics.Load(), "time-outs": n.timeouts.Load(),
		"deadlocks": n.deadlocks.Load(), "callers who left": n.left.Load(), "deserted": s.Deserted,
		"late":                         s.Late,
		"callers whose patience ended": n.late.Load(),
	} {
		assert.NotZero(t, seen, "the storm is too mild: no %s", name)
	}
}

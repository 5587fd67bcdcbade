package courier_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/snowfence/snowfence/courier"
)

func TestAllocations(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	var c courier.Courier[string, int]
	fetch := value(1)
	for name, ctx := range map[string]context.Context{"background": context.Background(),
		"cancellable": t.Context()} {
		assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
			_, _, _ = c.Do(ctx, "key", fetch)
		}), 3.0, "a flight, %s", name)
	}

	// A join is measured with callers that leave as soon as they wait.
	gate, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, _, _ = c.Do(context.Background(), "key", func(context.Context) (int, error) {
			<-gate
			return 1, nil
		})
	}()
	for c.Stats().InFlight == 0 {
		runtime.Gosched()
	}
	done := make(chan struct{})
	close(done)
	leave := &leaving{Context: context.Background(), done: done}
	before := c.Stats().Joined
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		leave.asked = false
		_, _, _ = c.Do(leave, "key", fetch)
	}), "a join")
	assert.GreaterOrEqual(t, c.Stats().Joined-before, uint64(1000))
	close(gate)
	<-ended
	still(t, c.Stats())
}

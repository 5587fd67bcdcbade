package verdict_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/verdict"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want verdict.Kind
	}{
		{nil, verdict.Value},
		{errors.New("x"), verdict.Failed},
		{&courier.PanicError{Value: context.Canceled}, verdict.Panic},
		{&courier.BackoffError{Err: courier.ErrTimeout, Until: time.Now()}, verdict.BackedOff},
		{courier.ErrGoexit, verdict.Goexit},
		{courier.ErrTimeout, verdict.TimedOut},
		{courier.ErrClosed, verdict.Closed},
		{&courier.DeadlockError{}, verdict.Deadlock},
		{fmt.Errorf("x: %w", courier.ErrOverloaded), verdict.Overloaded},
		{context.DeadlineExceeded, verdict.Deadline},
		{fmt.Errorf("%w: %w", context.Canceled, errors.New("x")), verdict.Canceled},
	} {
		require.Equal(t, c.want, verdict.Of(c.err), "%v", c.err)
	}
}

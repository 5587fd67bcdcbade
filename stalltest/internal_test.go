package stalltest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	for want, callers := range map[string]map[Outcome]int{
		"value":            {Value: 50},
		"error":            {Error: 50},
		"1 killed":         {Killed: 1, Error: 49},
		"1 hang, 48 zero":  {Hang: 1, Zero: 48, Value: 1},
		"value or error":   {Value: 1, Error: 49},
		"2 panic, 48 late": {Late: 48, Panicked: 2},
	} {
		r := Result{Callers: callers}
		assert.Equal(t, want, r.words())
	}
}

func TestOutcomeOf(t *testing.T) {
	in, past := &caller{own: newDeadline()}, &caller{own: newDeadline()}
	pass([]*caller{past})
	require.ErrorIs(t, past.own.Err(), context.DeadlineExceeded)
	other := errors.New("other")
	for _, tt := range []struct {
		c    *caller
		left bool // a caller has left
		v    string
		err  error
		want Outcome
	}{
		{in, false, oldValue, nil, Value},
		{in, false, "", nil, Zero},
		{past, false, "", nil, Zero},
		{in, false, "", other, Error},
		{past, false, oldValue, nil, Late},
		{past, false, "", context.DeadlineExceeded, Deadline},
		{past, false, "", other, Deadline}, // which an error of its own says
		{in, true, "", fmt.Errorf("wrapped: %w", context.Canceled), Cancelled},
		{in, true, "", fmt.Errorf("wrapped: %w", context.DeadlineExceeded), Cancelled},
		{in, false, "", context.DeadlineExceeded, Error}, // the load's time-out
		{in, true, "", other, Error},
		{in, false, "value of x", errWrong, Wrong},
	} {
		tr := &trial{hasLeft: tt.left}
		assert.Equal(t, tt.want, tr.outcomeOf(tt.c, tt.v, tt.err), "%q, %v", tt.v, tt.err)
	}
}

func TestBatchValue(t *testing.T) {
	failed := errors.New("failed")
	all := valuesOf(batchKeys)
	nine := valuesOf(batchKeys)
	delete(nine, badKey)
	empty := valuesOf(batchKeys)
	empty[badKey] = ""
	mixed := valuesOf(batchKeys)
	mixed["k1"] = valueOf("k2")
	for _, tt := range []struct {
		values   map[string]string
		err      error
		optional string
		want     string
		wantErr  error
	}{
		{all, nil, "", newValue, nil},
		{nine, nil, badKey, newValue, nil},
		{nine, failed, badKey, newValue, nil}, // the values are there
		{nine, nil, "", "", nil},              // zero
		{nine, failed, "", "", failed},
		{empty, nil, badKey, "", nil}, // zero
		{nil, failed, badKey, "", failed},
		{mixed, nil, "", "", errWrong},
	} {
		v, err := batchValue(tt.values, tt.err, tt.optional)
		assert.Equal(t, tt.want, v)
		assert.Equal(t, tt.wantErr, err)
	}
}

func TestCanRun(t *testing.T) {
	const self = "goroutine 1 [running]:\nmain.main()\n\n"
	assert.False(t, canRun([]byte(self)))
	assert.False(t, canRun([]byte(self+"goroutine 2 [select, 2 minutes]:\n\tf()\n\n"+
		"goroutine 3 [sync.Mutex.Lock (durable), synctest bubble 1]:\n")))
	assert.True(t, canRun([]byte(self+"goroutine 2 [chan receive]:\n\ngoroutine 3 [runnable]:\n")))
	assert.True(t, canRun([]byte(self+"goroutine 3 [running]:\n\tgoroutine running on other thread\n")))
}

// The runtime still describes goroutines as canRun reads them.
func TestQuiet(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for !closed(stop)() {
		}
	}()
	for range 10 {
		require.True(t, canRun(stacks()), "a goroutine runs all the time")
	}
	close(stop)
	<-stopped
	require.True(t, quiet(), "no goroutine has anything to do")
}

func TestExactly(t *testing.T) {
	assert.Equal(t, `^TestX$`, exactly("TestX"))
	assert.Equal(t, `^TestX$/^a_\(b\)$/^c#01$`, exactly("TestX/a_(b)/c#01"))
}

// What a process leaves behind says whether it is a result.
func TestFate(t *testing.T) {
	a := &assignment{Subject: "s", Case: "none", Folder: t.TempDir()}
	_, err := a.fate(&exec.ExitError{}, false, "no such test\n")
	require.ErrorContains(t, err, "the case did not begin")
	require.ErrorContains(t, err, "no such test")

	require.NoError(t, a.write(begunFile, nil))
	r, err := a.fate(&exec.ExitError{}, false, "\npanic: the load panics\n\ngoroutine 1:\n")
	require.NoError(t, err)
	assert.Equal(t, "s, none: fail: dies (the process ends)", r.String())
	assert.Equal(t, "panic: the load panics", r.Message)
	r, err = a.fate(&exec.ExitError{}, true, "")
	require.NoError(t, err)
	assert.Equal(t, "s, none: fail: no answer (the process does not answer)", r.String())

	require.NoError(t, a.write(resultFile, []byte(`{"case":"none","verdict":"pass","seen":"value"}`)))
	r, err = a.fate(nil, false, "")
	require.NoError(t, err)
	assert.Equal(t, "none: pass: value", r.String())
	r, err = a.fate(&exec.ExitError{}, false, "WARNING: DATA RACE\n")
	require.NoError(t, err)
	assert.Equal(t, Fail, r.Verdict)
	assert.Equal(t, "WARNING: DATA RACE", r.Message)
}

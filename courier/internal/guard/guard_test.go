package guard_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/courier/internal/guard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAnswer = errors.New("an answer")

// outcomeOf runs f in a goroutine of its own.
func outcomeOf(f func() (int, error)) guard.Outcome[int] {
	outcome := make(chan guard.Outcome[int], 1)
	go func() {
		var o guard.Outcome[int]
		o.AssumeGoexit()
		defer func() { outcome <- o }()
		o.Run(context.Background(), func(context.Context) (int, error) { return f() },
			func(err error) bool { return !errors.Is(err, errAnswer) })
	}()
	return <-outcome
}

func TestRun(t *testing.T) {
	errOther := errors.New("other")
	for _, tt := range []struct {
		name string
		f    func() (int, error)
		want guard.Outcome[int]
	}{
		{"value", func() (int, error) { return 7, nil }, guard.Outcome[int]{Value: 7}},
		{"failure", func() (int, error) { return 7, errOther },
			guard.Outcome[int]{Value: 7, Err: errOther}},
		{"answer", func() (int, error) { return 7, errAnswer },
			guard.Outcome[int]{Value: 7, Err: errAnswer, How: guard.Answered}},
		{"Goexit", func() (int, error) { runtime.Goexit(); return 7, nil },
			guard.Outcome[int]{How: guard.Exited}},
		{"Goexit ends a panic", func() (int, error) { defer runtime.Goexit(); panic("boom") },
			guard.Outcome[int]{How: guard.Exited}},
	} {
		assert.Equal(t, tt.want, outcomeOf(tt.f), tt.name)
	}
}

func TestRunAndPanics(t *testing.T) {
	panics := map[string]func() (int, error){
		"panic":            func() (int, error) { panic("boom") },
		"panic in a panic": func() (int, error) { defer panic("boom"); panic("first") },
		"panic in Goexit":  func() (int, error) { defer panic("boom"); runtime.Goexit(); return 7, nil },
	}
	for name, f := range panics {
		o := outcomeOf(f)
		assert.Equal(t, guard.Panicked, o.How, name)
		assert.Zero(t, o.Value, name)
		assert.NoError(t, o.Err, name)
		assert.Equal(t, "boom", o.Panic.Value, name)
		assert.Regexp(t, `^goroutine \d+ \[running\]:\npanic\(`, string(o.Panic.Stack), name)
		assert.Contains(t, string(o.Panic.Stack), "guard_test.TestRunAndPanics", name)
	}
}

func TestRunAndPanicNil(t *testing.T) {
	var none any
	f := func() (int, error) { panic(none) }
	assert.Equal(t, &runtime.PanicNilError{}, outcomeOf(f).Panic.Value)
	t.Setenv("GODEBUG", "panicnil=1") // the behaviour before Go 1.21
	assert.Equal(t, guard.Outcome[int]{How: guard.Panicked, Panic: &guard.Panic{}}, outcomeOf(f))
}

package courier_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
)

// panicOf returns the error that a caller gets if the function panics in f.
func panicOf(t *testing.T, f func()) *courier.PanicError {
	t.Helper()
	var c courier.Courier[string, int]
	_, _, err := c.Do(t.Context(), "key", func(context.Context) (int, error) { f(); return 0, nil })
	var p *courier.PanicError
	require.ErrorAs(t, err, &p)
	works(t, &c, "key")
	return p
}

//go:noinline
func panicsHere(v any) { panic(v) }

//go:noinline
func dereferences(p *http.Request) { p.Method = "GET" }

// topFrame returns the function that panicked: the first one below panic that does not belong to
// the runtime.
func topFrame(t *testing.T, stack []byte) string {
	t.Helper()
	lines := strings.Split(string(stack), "\n")
	require.Greater(t, len(lines), 4)
	assert.Regexp(t, `^goroutine \d+ .*:$`, lines[0])
	assert.True(t, strings.HasPrefix(lines[1], "panic("), lines[1])
	for _, line := range lines[3:] {
		if !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "runtime.") {
			name, _, _ := strings.Cut(line[strings.LastIndex(line, "/")+1:], "(")
			return name
		}
	}
	return ""
}

func TestStackBeginsAtThePanic(t *testing.T) {
	p := panicOf(t, func() { panicsHere("boom") })
	assert.Equal(t, "courier_test.panicsHere", topFrame(t, p.Stack))
	assert.Contains(t, string(p.Stack), "panic_test.go")
	assert.Equal(t, "courier: fetch panicked: boom", p.Error())

	p = panicOf(t, func() { dereferences(nil) })
	assert.Equal(t, "courier_test.dereferences", topFrame(t, p.Stack))
}

func TestStackOfAPanicWhilePanicking(t *testing.T) {
	p := panicOf(t, func() {
		defer panicsHere("second")
		panic("first")
	})
	assert.Equal(t, "second", p.Value)
	assert.Equal(t, "courier_test.panicsHere", topFrame(t, p.Stack))
}

func TestPanickedErrorsAreReached(t *testing.T) {
	p := panicOf(t, func() { panic(http.ErrAbortHandler) })
	assert.ErrorIs(t, p, http.ErrAbortHandler)

	var runtimeError runtime.Error
	p = panicOf(t, func() { dereferences(nil) })
	assert.ErrorAs(t, p, &runtimeError)
	p = panicOf(t, func() { panicsHere(make([]int, 1)[len(os.Args)]) })
	assert.ErrorAs(t, p, &runtimeError)

	inner := &courier.PanicError{Value: io.EOF}
	p = panicOf(t, func() { panic(inner) })
	assert.Same(t, inner, p.Value)
	assert.ErrorIs(t, p, io.EOF)

	p = panicOf(t, func() { panic("no error") })
	assert.NoError(t, p.Unwrap())
}

func TestPanicNil(t *testing.T) {
	var nilError *runtime.PanicNilError
	p := panicOf(t, func() { panicsHere(nil) })
	assert.ErrorAs(t, p, &nilError)

	t.Setenv("GODEBUG", "panicnil=1") // the behaviour before Go 1.21
	p = panicOf(t, func() { panicsHere(nil) })
	assert.Nil(t, p.Value)
	assert.NoError(t, p.Unwrap())
	assert.Equal(t, "courier: fetch panicked: <nil>", p.Error())
}

type explosiveError struct{ fuse *int }

func (e *explosiveError) Error() string { return "boom" + string(rune(*e.fuse)) }

func TestPanicOfAnErrorThatCannotSpeak(t *testing.T) {
	silent := &explosiveError{}
	p := panicOf(t, func() { panic(silent) })
	assert.Contains(t, p.Error(), "courier: fetch panicked: ")
	var e *explosiveError
	assert.True(t, errors.As(p, &e)) //nolint:testifylint // testify would print it
	assert.Same(t, silent, e)

	var typedNil *explosiveError
	p = panicOf(t, func() { panic(typedNil) })
	assert.Contains(t, p.Error(), "courier: fetch panicked: ")
	assert.False(t, errors.Is(p, io.EOF)) //nolint:testifylint // testify would print it
}

func TestPanicMeetsGoexit(t *testing.T) {
	p := panicOf(t, func() {
		defer panic("on the way out")
		runtime.Goexit()
	})
	assert.Equal(t, "on the way out", p.Value)

	var c courier.Courier[string, int]
	_, _, err := c.Do(t.Context(), "key", func(context.Context) (int, error) {
		defer runtime.Goexit() // it ends the panic
		panic("boom")
	})
	assert.ErrorIs(t, err, courier.ErrGoexit)
	assert.Equal(t, courier.Stats{Started: 1, Goexits: 1}, c.Stats())

	v, _, err := c.Do(t.Context(), "key", func(context.Context) (v int, err error) {
		defer func() { v, _ = recover().(int) }()
		panic(7)
	})
	assert.NoError(t, err)
	assert.Equal(t, 7, v, "a panic that the function recovers has no effect")
}

func TestNilFunction(t *testing.T) {
	var c courier.Courier[string, int]
	_, _, err := c.Do(t.Context(), "key", nil)
	var runtimeError runtime.Error
	assert.ErrorAs(t, err, &runtimeError)
}

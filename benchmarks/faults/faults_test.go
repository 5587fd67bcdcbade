package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/snowfence/snowfence/internal/table"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	runAsCell() // the tests start themselves, as the command does
	goleak.VerifyTestMain(m)
}

// The results of Snowfence are those in the README. Time is that of synctest, so the numbers are
// exact.
func TestSnowfence(t *testing.T) {
	l, ok := find(libraries, "snowfence")
	require.True(t, ok)
	want := map[string]string{
		"panic":           "error",
		"panic-recovered": "error",
		"goexit":          "error",
		"hang":            "error at 30 s",
		"hang-deadline":   "deadline",
		"hang-hot":        "40 of 50",
		"first-cancelled": "value",
		"k-in-k":          "error",
		"delete":          "fresh",
		"set":             "kept",
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen, err := observe(l, f, config{Callers: 50, Timeout: 35 * time.Second})
				require.NoError(t, err)
				assert.Equal(t, want[f.name], seen.brief(f), seen.words(f))
				if f.deadline == callerDeadline {
					for o, took := range seen.Took {
						assert.LessOrEqual(t, took, settle, "%s: not at once", o)
					}
				}
			})
		})
	}
	assert.Len(t, want, len(faults))
}

// Each cell runs in a process of its own, since some faults end the process.
func TestProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	var out bytes.Buffer
	args := []string{
		"-only", "panic,set,singleflight-do,groupcache,snowfence",
		"-callers", "5", "-markdown", "-json", path,
	}
	require.NoError(t, command(t.Context(), args, &out, io.Discard))
	// On a busy machine perhaps "error at 2 s".
	assert.Contains(t, out.String(), "\n| panic | dies | dies | error")
	assert.Contains(t, out.String(), "\n| Set meanwhile | lost | no Set | kept |\n")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(data, &r))
	require.Len(t, r.Cells, 6)
	assert.Equal(t, 5, r.Callers)
	assert.Contains(t, r.Cells[0].Seen.Message, "the load panics")
	assert.Equal(t, map[outcome]int{failed: 5}, r.Cells[2].Seen.Outcomes)
	assert.Equal(t, value, r.Cells[2].Seen.Next)
}

// A cell without a result is an error, not a process that died.
func TestCellFails(t *testing.T) {
	_, err := watch(t.Context(), fault{name: "no such"}, libraries[0], config{Callers: 2})
	require.ErrorContains(t, err, `there is no "no such"`)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = watch(stopped, faults[0], libraries[0], config{Callers: 2})
	require.ErrorIs(t, err, context.Canceled)
	err = command(stopped, []string{"-only", "panic,otter"}, io.Discard, io.Discard)
	require.ErrorIs(t, err, context.Canceled)
}

func TestFateOf(t *testing.T) {
	assert.Equal(t, survives, fateOf(nil, true), "it answered in time")
	assert.Equal(t, silent, fateOf(&exec.ExitError{}, true))
	assert.Equal(t, broken, fateOf(os.ErrNotExist, false), "it did not start")
}

func TestOutcomeOf(t *testing.T) {
	deadline, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	other := errors.New("other")
	for _, tt := range []struct {
		ctx  context.Context
		v    string
		err  error
		want outcome
	}{
		{t.Context(), oldValue, nil, value},
		{t.Context(), "", nil, zeroValue},
		{t.Context(), "", other, failed},
		{deadline, "", other, failed},
		{deadline, "", fmt.Errorf("wrapped: %w", context.Canceled), cancelled},
		{deadline, "", fmt.Errorf("wrapped: %w", context.DeadlineExceeded), late},
		{t.Context(), "", context.DeadlineExceeded, failed}, // the load's, since the caller has none
	} {
		assert.Equal(t, tt.want, outcomeOf(tt.ctx, tt.v, tt.err), "%q, %v", tt.v, tt.err)
	}
}

// seen returns an observation of a key that works again.
func seen(outcomes map[outcome]int, next string) observation {
	return observation{Outcomes: outcomes, Next: value, NextValue: next}
}

func TestClassify(t *testing.T) {
	named := func(name string) fault {
		f, ok := find(faults, name)
		require.True(t, ok, name)
		return f
	}
	all := map[outcome]int{value: 50}
	dead := seen(map[outcome]int{hangs: 49, panicked: 1}, "")
	dead.Next = hangs
	slow := seen(map[outcome]int{late: 1, value: 49}, newValue)
	slow.Took = map[outcome]time.Duration{late: 3 * time.Second, value: 3001 * time.Millisecond}
	timeout := seen(map[outcome]int{failed: 50}, newValue)
	timeout.Took = map[outcome]time.Duration{failed: 30 * time.Second}
	for _, tt := range []struct {
		fault string
		seen  observation
		brief string
		words string
	}{
		{"panic", observation{Process: dies}, "dies", "the process dies"},
		{"panic", observation{Process: silent}, "no answer", "the process does not answer"},
		{"delete", observation{Unsupported: true}, "no Delete", "there is no such call"},
		{"set", observation{Unsupported: true}, "no Set", "there is no such call"},
		{"panic", dead, "49 hang, 1 panic †", "49 hang, 1 panics; the next one hangs"},
		{
			"goexit", seen(map[outcome]int{killed: 1, zeroValue: 49}, newValue), "1 killed, 49 zero",
			"1 is killed, 49 get neither a value nor an error; the next one gets a value",
		},
		{
			"goexit", seen(map[outcome]int{killed: 1, failed: 49}, newValue), "1 killed",
			"1 is killed, 49 get an error; the next one gets a value",
		},
		{"hang", timeout, "error at 30 s", "50 get an error at 30 s; the next one gets a value"},
		{
			"hang-hot", seen(map[outcome]int{late: 10, value: 40}, newValue), "40 of 50",
			"10 fail at their deadline, 40 get a value; the next one gets a value",
		},
		{
			"first-cancelled", seen(map[outcome]int{cancelled: 49}, newValue), "cancelled",
			"49 get the first caller's error; the next one gets a value",
		},
		{"first-cancelled", seen(all, oldValue), "value", "50 get a value; the next one gets a value"},
		{"first-cancelled", seen(all, newValue), "2 loads", "50 get a value; the next one gets a value"},
		{
			"k-in-k", slow, "1 deadline, 49 value at 3 s",
			"1 fails at its deadline, 49 get a value at 3 s; the next one gets a value",
		},
		{
			"panic", seen(map[outcome]int{failed: 1, value: 49}, newValue), "value or error",
			"1 gets an error, 49 get a value; the next one gets a value",
		},
		{"delete", seen(all, oldValue), "stale", "50 get a value; the next one gets the old value"},
		{"delete", seen(all, newValue), "fresh", "50 get a value; the next one gets the new value"},
		{"set", seen(all, oldValue), "lost", "50 get a value; the next one gets the old value"},
		{"set", seen(all, newValue), "lost", "50 get a value; the next one gets the new value"},
		{"set", seen(all, setValue), "kept", "50 get a value; the next one gets the set value"},
	} {
		f := named(tt.fault)
		tt.seen.Loads = 2
		assert.Equal(t, tt.brief, tt.seen.brief(f))
		assert.Equal(t, tt.words, tt.seen.words(f))
	}
}

// The table fits the README, even with the widest rows that occurred.
func TestWidth(t *testing.T) {
	rows := map[string]string{
		"goexit":          "killed;deadline;1 killed;1 killed, 49 zero;49 hang, 1 killed †;error",
		"panic-recovered": "panic;dies;1 panic;error;49 hang, 1 panic †;error",
		"hang-deadline":   "hang †;deadline †;1 hang, 49 deadline †;hang †;hang †;deadline",
	}
	r := &report{
		Callers: 50, Date: "2026-01-01", Go: "go1.26.8",
		Versions: versions(libraries), libraries: libraries,
	}
	for name, row := range rows {
		f, ok := find(faults, name)
		require.True(t, ok)
		r.faults = append(r.faults, f)
		for brief := range strings.SplitSeq(row, ";") {
			r.Cells = append(r.Cells, cell{Brief: brief})
		}
	}
	text, err := r.markdown()
	require.NoError(t, err)
	for line := range strings.Lines(text + table.Wrap(r.caption(), width)) {
		assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSpace(line)), width, line)
	}
	assert.Contains(t, text, "\n| Goexit | killed | deadline | 1 killed |")
}

func TestUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"-callers: 1":     {"-callers", "1"},
		"-timeout: 1ms":   {"-timeout", "1ms"},
		`-only: "olric"`:  {"-only", "panic,olric"},
		"-json: no/where": {"-json", "no/where"},
		"is not a flag":   {"panic"},
		"not defined":     {"-no-such"},
	} {
		err := command(t.Context(), args, io.Discard, io.Discard)
		require.ErrorIs(t, err, errUsage, want)
		require.ErrorContains(t, err, want)
	}
	var help bytes.Buffer
	require.ErrorIs(t, command(t.Context(), []string{"-h"}, io.Discard, &help), flag.ErrHelp)
	for _, f := range faults {
		assert.Contains(t, help.String(), "\n  "+f.name+" ")
	}
	for _, l := range libraries {
		assert.Contains(t, help.String(), "\n  "+l.name+" ")
	}
	o, err := parse([]string{"-only", "panic,goexit"}, io.Discard)
	require.NoError(t, err)
	assert.Len(t, o.faults, 2)
	assert.Len(t, o.libraries, len(libraries))
}

package snowball

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/scenario"
)

func TestBuiltin(t *testing.T) {
	for _, fault := range Faults() {
		s := builtin(t, fault)
		require.NoError(t, Prepare(Config{Scenario: s}), fault)
		assert.NotEqual(t, scenario.Expect{}, s.Expect, "%s: --check must have something to check", fault)
		assert.Equal(t, 8*time.Second, s.Duration)
	}
	_, err := Builtin("crash")
	require.EqualError(t, err, `"crash": must be one of panic, goexit, error, hang, child, slow, none`)
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a closed loop", "events:\n  rate: 0\n",
			"x.yaml:2: events.rate: must be above 0: the snowball offers events at a steady rate"},
		{"events that stop", "events: {until: 3s}\n",
			"x.yaml:1: events.until: must be 0s: the snowball offers events until its end, got 3s"},
		{"writes", "seed: 1\nmix: {read: 1, write: 2}\n",
			"x.yaml:2: mix.write: must be 0: every event of the snowball is a fetch, got 2"},
		{"deletes", "mix: {delete: 3}\n",
			"x.yaml:1: mix.delete: must be 0: every event of the snowball is a fetch, got 3"},
		{"batches", "events: {batch: 2}\n",
			"x.yaml:1: events.batch: must be 1: every event of the snowball is for one key, got 2"},
		{"stale for a moment", "cache: {stale_for: 2s}\n",
			"x.yaml:1: cache.stale_for: must be at least as long as the fault window (3s), got 2s"},
		{"never stale", "cache: {stale_for: 8s, ttl: 5s}\n",
			"x.yaml:1: cache.ttl: must be below fault.end (5s), or no value is stale by then, got 5s"},
		{"no soft time-out", "cache: {stale_for: 8s, soft_timeout: 0s}\n",
			"x.yaml:1: cache.soft_timeout: must be above 0s: callers would wait for loads that hang, " +
				"got 0s"},
		{"callers who leave before", "cache: {stale_for: 8s, soft_timeout: 2s}\n",
			"x.yaml:1: cache.soft_timeout: must be below events.timeout (2s), after which callers leave, " +
				"got 2s"},
		{"too short", "duration: 500ms\nfault: {start: 200ms, end: 400ms}\n",
			"x.yaml:1: duration: must be at least 800ms to be measured, got 500ms"},
		{"no time before", "fault: {start: 0s}\n",
			"x.yaml:1: fault.start: must be at least 200ms: what was before is compared with, got 0s"},
		{"a window without length", "fault: {start: 2s, end: 2100ms}\n",
			"x.yaml:1: fault.end: must be at least 200ms after fault.start (2s), got 2.1s"},
		{"a window beyond the end", "duration: 3s\n",
			"x.yaml:1: fault.end: must be at most duration (3s), got 5s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := scenario.Parse("x.yaml", []byte(tt.text))
			require.NoError(t, err)
			require.EqualError(t, Validate(s), tt.want)
			_, err = Execute(t.Context(), Config{Scenario: s})
			require.EqualError(t, err, tt.want)
		})
	}
	s := scenario.Default()
	s.Events.Workers = 0
	var field *scenario.FieldError
	require.ErrorAs(t, Validate(s), &field)
	assert.Equal(t, "events.workers", field.Field)
}

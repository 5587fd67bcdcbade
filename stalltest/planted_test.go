package stalltest_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/stalltest"
)

// Each bug is seen, and described as it is.
func TestBugsAreSeen(t *testing.T) {
	unseen := map[string]bool{}
	cases := stalltest.Cases()
	for i := range cases {
		unseen[cases[i].Name] = true
	}
	for _, ends := range []string{"panic", "refresh-panic"} { // the process: see TestMatrix
		delete(unseen, ends)
	}
	for _, tt := range []struct {
		bug, name, seen, why string
	}{
		{"no de-duplication", "none", "50 loads", "the loads of a key are not de-duplicated"},
		{"loads do not begin", "none", "no load", "the load does not begin"},
		{"loads do not begin", "nested-cycle", "no load", "the load does not begin"},
		{"values are mixed up", "error", "error †", "the next caller fails, too"},
		{"values are mixed up", "none", "wrong †", "a caller got the value of another key"},
		{"waiters are lost", "panic-recovered", "deadline †", "a caller learned nothing"},
		{"waiters are lost", "goexit", "deadline †", "a caller learned nothing"},
		{"zero values", "panic-recovered", "zero", "a caller got neither a value nor an error"},
		{"zero values", "goexit", "zero", "a caller got neither a value nor an error"},
		{"a dead load keeps its key", "error", "error †", "the next caller fails, too"},
		{"", "hang", "hang †", "a caller hangs"},
		{"callers wait for the load", "hang-deadline", "hang †", "a caller hangs"},
		{"", "hang-deadline", "deadline †", "the next caller fails, too"},
		{"", "slow", "runs on †", "the load runs on"},
		{"goroutines are not linked", "child", "deadline †", "a caller learned nothing"},
		{"", "hang-hot", "0 of 50 †", "a caller learned nothing"},
		{"a load keeps the lock", "hang-others", "0 of 64", "a caller hangs"},
		{"writes wait for the load", "hang-delete", "hang", "a caller hangs"},
		{"writes wait for the load", "hang-set", "hang", "a caller hangs"},
		{"the first caller's context", "first-cancelled", "cancelled", "the end of another caller's"},
		{"the first caller's context", "first-deadline", "cancelled", "the end of another caller's"},
		{"callers wait for the load", "joined-cancelled", "stuck", "waits for the load"},
		{"", "nested", "deadline †", "a caller learned nothing"},
		{"", "nested-cycle", "deadline †", "a caller learned nothing"},
		{"callers wait for the load", "nested-crossed", "hang †", "a caller hangs"},
		{"loads win over writes", "delete", "stale", "what was loaded before Delete is stored"},
		{"loads win over writes", "set", "lost", "is lost"},
		{"writes wait for the load", "set-within", "deadline †", "a caller learned nothing"},
		{"failed loads delete", "set-error", "lost", "is lost"},
		{"batches wait for keys", "batch-joined", "hang", "a caller hangs"},
		{"zero values", "batch-panic", "zero", "a caller got neither a value nor an error"},
		{"waiters are lost", "batch-goexit", "deadline †", "a caller learned nothing"},
		{"callers wait for the load", "batch-hang", "hang †", "a caller hangs"},
		{"missing records fail the batch", "batch-missing", "0 of 10", "takes the others along"},
		{"no refresh", "refresh-error", "no refresh", "the value is not refreshed"},
		{"refreshes in the caller", "refresh-hang", "1 hang", "a caller hangs"},
		{"waiters are lost", "refresh-goexit", "value †", "the key is never refreshed again"},
		{"no stale values", "stale-error", "error", "although there was a value"},
		{"no stale values", "stale-hang", "error", "although there was a value"},
		{"callbacks in the caller", "callback-hang", "0 of 65", "a caller hangs"},
		{"callbacks in the caller", "callback-fetch", "0 of 65", "a caller hangs"},
		{"no callbacks", "callback-panic", "no calls", "the callback is never called"},
		{"a panic keeps the lock", "key-uncomparable", "49 hang, 1 panic †", "a caller hangs"},
		{"values are looked up", "key-nan", "zero", "a caller got neither a value nor an error"},
		{"zero values", "stale-goexit", "zero", "a caller got neither a value nor an error"},
		{"zero values", "stale-panic", "zero", "a caller got neither a value nor an error"},
	} {
		delete(unseen, tt.name)
		t.Run(tt.bug+"/"+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, err := stalltest.Observe(planted(tt.bug), tt.name)
				require.NoError(t, err)
				assert.Equal(t, stalltest.Fail, r.Verdict, r.String())
				assert.Equal(t, tt.seen, r.Seen, r.String())
				assert.Contains(t, r.Why, tt.why)
			})
		})
	}
	assert.Empty(t, unseen, "cases in which no bug is seen")
}

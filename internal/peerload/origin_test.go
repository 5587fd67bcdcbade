package peerload

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ask loads from an origin.
func ask(t *testing.T, o *origin, key string) (status int, value []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.url, strings.NewReader(key))
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	value, err = io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, value
}

// The origin knows what it gave, for which key and when, and nothing else passes for it.
func TestOrigin(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	o, err := openOrigin(t.Context(), Config{Size: 64})
	require.NoError(t, err)
	defer o.close()
	_, _ = ask(t, o, keyName(9)) // before the run
	o.begin(time.Now())
	status, value := ask(t, o, keyName(3))
	require.Equal(t, http.StatusOK, status)
	require.Len(t, value, 64)
	key, version, issued, ok := readValue(value)
	require.True(t, ok)
	require.Equal(t, keyName(3), key)
	require.True(t, o.issued(3, version, issued.UnixNano()))
	require.False(t, o.issued(4, version, issued.UnixNano()), "another key")
	require.False(t, o.issued(3, version, issued.UnixNano()+1), "another time")
	require.False(t, o.issued(3, version-1, issued.UnixNano()), "another version")
	require.False(t, o.issued(3, version+1, issued.UnixNano()), "none yet")
	require.False(t, o.issued(3, 0, 0))

	o.set(false, true)
	status, _ = ask(t, o, keyName(3))
	require.Equal(t, http.StatusInternalServerError, status)
	require.False(t, o.issued(3, version+1, 0), "what failed gave nothing")
	require.False(t, o.issued(-1, version+1, 0))
	o.set(false, false)
	_, _ = ask(t, o, keyName(3))
	_, _ = ask(t, o, keyName(4))
	require.EqualValues(t, 5, o.count())
	all := o.counted()
	require.Len(t, all, 2, "of the run")
	require.Len(t, all[keyName(3)], 3)
	require.Len(t, all[keyName(4)], 1)
	require.False(t, all[keyName(3)][0].fails)
	require.True(t, all[keyName(3)][1].fails)
	require.False(t, all[keyName(3)][2].fails)
	require.LessOrEqual(t, all[keyName(3)][0].at, all[keyName(3)][1].at)
}

func TestOriginErrors(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	o, err := openOrigin(t.Context(), Config{OriginErrors: 0.5, Seed: 5})
	require.NoError(t, err)
	defer o.close()
	failed := 0
	for range 100 {
		if status, _ := ask(t, o, keyName(1)); status != http.StatusOK {
			failed++
		}
	}
	require.InDelta(t, 50, failed, 20)
}

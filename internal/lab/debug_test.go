package lab

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/debug"
)

func TestDebugPage(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	page, stop, err := serveDebug(t.Context(), ":0", &stderr)
	require.NoError(t, err)
	page.Add("subject", debug.Courier(courier.New[int, int]()))
	url := strings.Fields(strings.TrimPrefix(stderr.String(), "The debug page is at "))[0]
	require.Contains(t, url, "http://127.0.0.1:", "it is not open to the network")
	for path, want := range map[string]string{
		"": "subject (courier)", "debug/pprof/goroutine?debug=1": "goroutine profile:",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, http.NoBody)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Contains(t, string(body), want)
	}
	stop()
	http.DefaultClient.CloseIdleConnections()
	for _, addr := range []string{"6060", "127.0.0.1:port", "256.0.0.1:1"} {
		_, _, err := serveDebug(context.Background(), addr, io.Discard)
		require.ErrorContains(t, err, "--debug-addr: ", addr)
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// site is a service under test, seen from outside. Its ports are those of portFlags(first).
type site struct {
	first  int
	client *http.Client
}

func newSite(tb testing.TB) site {
	tb.Helper()
	s := site{freePorts(tb), &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}}
	tb.Cleanup(s.client.CloseIdleConnections)
	return s
}

func portFlags(first int) []string {
	return []string{
		"-port", strconv.Itoa(first),
		"-inside-port", strconv.Itoa(first + nodes),
		"-gossip-port", strconv.Itoa(first + 2*nodes),
		"-cache-port", strconv.Itoa(first + 3*nodes),
	}
}

// answer is the response of a node, or the error of the request.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

// thumb sends a request for a thumbnail with any method to a node, 1 to 3.
func (s site) thumb(method string, node int, name string) answer {
	return s.do(method, fmt.Sprintf("http://127.0.0.1:%d/thumb/%s", s.first+node-1, name))
}

// health returns the response of /healthz of a node.
func (s site) health(node int) answer { return s.inside(node, "/healthz") }

func (s site) inside(node int, path string) answer {
	return s.do(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", s.first+nodes+node-1, path))
}

func (s site) do(method, url string) (a answer) {
	r, err := http.NewRequestWithContext(context.Background(), method, url, http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	got, err := s.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer got.Body.Close()
	all, err := io.ReadAll(got.Body)
	return answer{got.StatusCode, string(all), got.Header, err}
}

// metric returns the value of a metric without labels of its own.
func (s site) metric(tb testing.TB, node int, name string) int {
	tb.Helper()
	a := s.inside(node, "/metrics")
	require.NoError(tb, a.err)
	found := regexp.MustCompile(`(?m)^` + name +
		`(?:\{cache="thumbs"\})? (\d+)$`).FindStringSubmatch(a.body)
	require.NotNil(tb, found, "no metric %s in %s", name, a.body)
	n, err := strconv.Atoi(found[1])
	require.NoError(tb, err)
	return n
}

// loads returns the number of thumbnails that all nodes have made.
func (s site) loads(tb testing.TB) (n int) {
	tb.Helper()
	for node := 1; node <= nodes; node++ {
		n += s.metric(tb, node, "snowfence_cluster_loads_total")
	}
	return n
}

// await waits until the nodes serve and each sees the given number of others.
func (s site) await(tb testing.TB, others int, of ...int) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		for _, node := range of {
			if s.health(node).status != http.StatusOK ||
				s.metric(tb, node, "snowfence_cluster_peers") != others {
				return false
			}
		}
		return true
	}, 30*time.Second, 20*time.Millisecond, "the nodes do not see each other")
}

// freePorts returns the first of a row of unused TCP and UDP ports, as many as three nodes need.
// They are below those that kernels choose for port 0.
func freePorts(tb testing.TB) int {
	tb.Helper()
	free := func(port int) bool {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		tcp, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", address)
		if err != nil {
			return false
		}
		defer tcp.Close()
		udp, err := new(net.ListenConfig).ListenPacket(tb.Context(), "udp", address)
		if err != nil {
			return false
		}
		return udp.Close() == nil
	}
	for range 100 {
		first, n := 10_000+rand.IntN(20_000), 0
		for n < 4*nodes && free(first+n) {
			n++
		}
		if n == 4*nodes {
			return first
		}
	}
	tb.Fatal("no free ports in a row")
	return 0
}

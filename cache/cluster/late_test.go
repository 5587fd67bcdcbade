package cluster_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache/cluster"
)

// A hot key whose first load hangs serves again, on whatever node callers ask: the asking node's
// request says that its callers have waited in vain.
func TestHangOfAHotKey(t *testing.T) {
	for name, ownership := range map[string]cluster.Ownership{"key": cluster.ByKey,
		"slot": cluster.BySlot, "ring": cluster.ByRing} {
		t.Run(name, func(t *testing.T) {
			var from origin
			hanging, release := make(chan struct{}), make(chan struct{})
			from.set(func(_ context.Context, _ string, n int) (string, error) {
				if n == 1 {
					close(hanging)
					<-release
				}
				return "value", nil
			})
			nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) {
				if o.Ownership = ownership; ownership == cluster.BySlot {
					o.Slots = 16
				}
			})
			defer close(release)
			// These callers wait for as long as it takes, on both nodes, so that no flight is given up.
			patient, leave := context.WithCancel(t.Context())
			done := make(chan struct{}, len(nodes))
			for _, n := range nodes {
				go func() {
					_, _ = n.Fetch(patient, "hot")
					done <- struct{}{}
				}()
			}
			defer func() { leave(); <-done; <-done }()
			<-hanging
			for _, n := range nodes {
				require.Eventually(t, func() bool {
					s := n.Stats()
					return s.Store.Courier.Waiting > 0
				}, 10*time.Second, time.Millisecond)
			}
			for _, n := range nodes {
				require.Eventually(t, func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					defer cancel()
					v, err := n.Fetch(ctx, "hot")
					return err == nil && v == "value"
				}, 20*time.Second, time.Millisecond, "node %s", n.name)
			}
		})
	}
}

// deadlines notes whether requests for values have deadlines.
type deadlines struct{ seen chan bool }

type mark struct{}

func (d deadlines) Inject(ctx context.Context, _ http.Header) {
	if ctx.Value(mark{}) != nil { // otherwise it is about deletes
		_, limited := ctx.Deadline()
		d.seen <- limited
	}
}

func (deadlines) Extract(ctx context.Context, _ http.Header) context.Context { return ctx }

// A request ends with the flight that asks, and the owner needs no timer for it.
func TestRequestsHaveNoDeadline(t *testing.T) {
	var from origin
	d := deadlines{make(chan bool, 10)}
	nodes := start(t, 2, &from, func(_ int, o *cluster.Options[string]) { o.Propagator = d })
	for _, n := range nodes {
		_, err := n.Fetch(context.WithValue(t.Context(), mark{}, true), "k")
		require.NoError(t, err)
	}
	require.False(t, <-d.seen)
}

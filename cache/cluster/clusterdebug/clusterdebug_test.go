package clusterdebug_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/clusterdebug"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/debug"
	"github.com/snowfence/snowfence/internal/leak"
	"github.com/snowfence/snowfence/internal/snapshotprom/snapshottest"
	"github.com/snowfence/snowfence/registry"
)

func TestMain(m *testing.M) { leak.Main(m) }

// A fake is a cluster in a state that a real one seldom is in.
type fake struct {
	clusterdebug.Cluster
	stats    cluster.Stats
	suspects []cluster.SuspectKey
}

func (fake) Inspect() courier.Inspector       { return courier.New[string, int]() }
func (f fake) Stats() cluster.Stats           { return f.stats }
func (fake) Hottest(int) cache.HotKeys        { return cache.HotKeys{} }
func (fake) Node() string                     { return "b" }
func (fake) Slots() map[string]int            { return map[string]int{"a": 600, "b": 424} }
func (f fake) Suspects() []cluster.SuspectKey { return f.suspects }

func newPage(t *testing.T) *debug.Handler {
	t.Helper()
	page, err := debug.New(debug.Options{})
	require.NoError(t, err)
	return page
}

func TestMembersAndSuspectKeysAreShown(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Minute)
	f := fake{
		stats: cluster.Stats{Quarantined: 1, Peers: []cluster.PeerStats{
			{Node: "a", URL: "http://a/", Breaker: "closed", Synced: true},
			{Node: "c", Breaker: "open", Failure: "connection refused"},
			{Node: "d", Differs: "Slots: 2 and 1024"},
			{Node: "e", Breaker: "closed"},
		}},
		suspects: []cluster.SuspectKey{
			{Key: "alice@example.com", State: "quarantined", Died: []string{"c", "f"}, Until: until},
		},
	}
	page := newPage(t)
	page.Add("users", clusterdebug.New(f))
	v := page.Snapshot(t.Context())
	s := v.Sources[0]
	require.Equal(t, "cluster", s.Kind)
	require.Equal(t, []debug.Member{
		{Node: "a", URL: "http://a/", Breaker: "closed", Synced: true, Slots: 600},
		{Node: "b", Self: true, Synced: true, Slots: 424},
		{Node: "c", Breaker: "open", Failure: "connection refused"},
		{Node: "d", Differs: "Slots: 2 and 1024"},
		{Node: "e", Breaker: "closed"},
	}, s.Members)
	require.Len(t, s.Suspects, 1)
	require.Regexp(t, "^#[0-9a-f]{8}$", s.Suspects[0].KeyText)
	require.Equal(t, []string{"c", "f"}, s.Suspects[0].Died)
	var texts []string
	for _, a := range v.Attention {
		texts = append(texts, a.Text)
	}
	require.ElementsMatch(t, []string{
		"keys are quarantined, since nodes died while they loaded them (1)",
		"c is passed over: connection refused",
		"d is never asked: Slots: 2 and 1024",
		"e does not have all deletes yet",
	}, texts)
	for _, format := range []string{"html", "json", "text"} {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet,
			"/?format="+format, http.NoBody))
		body := w.Body.String()
		require.NotContains(t, body, "alice", format)
		require.Contains(t, body, "connection refused", format)
		require.Contains(t, body, "quarantined", format)
	}
}

// Each count of the cluster has a value of its own, and is shown once.
func TestCounts(t *testing.T) {
	t.Parallel()
	var stats cluster.Stats
	snapshottest.Number(reflect.ValueOf(&stats).Elem(), new(int))
	stats.Peers = nil
	page := newPage(t)
	page.Add("users", clusterdebug.New(fake{stats: stats}))
	counts := page.Snapshot(t.Context()).Sources[0].Counts
	for name, want := range map[string]uint64{
		"hits": stats.Hits, "misses": stats.Misses, "loads": stats.Loads,
		"local_loads": stats.LocalLoads, "asked": stats.Asked, "served": stats.Served,
		"refused_busy": stats.Refused.Busy, "deletes": stats.Deletes,
		"evictions": stats.Store.Evictions, "flights": stats.Store.Courier.Started,
		"copies": uint64(stats.Copies), "suspects": uint64(stats.Suspects), //nolint:gosec // small
	} {
		require.Equal(t, want, counts[name], name)
	}
	text, err := json.Marshal(counts)
	require.NoError(t, err)
	require.Contains(t, string(text), `"quarantined":`)
}

func TestARealCluster(t *testing.T) {
	t.Parallel()
	r, err := registry.Open(t.Context(), registry.Config{NodeName: "n1", BindAddr: "127.0.0.1"})
	require.NoError(t, err)
	defer r.Close()
	users, err := cluster.New(cluster.Options[string]{
		Registry: r, URL: "http://127.0.0.1:1/", Name: "users",
		Load: func(_ context.Context, id string) (string, error) { return id, nil },
	})
	require.NoError(t, err)
	defer users.Close()
	page := newPage(t)
	page.Add("users", clusterdebug.New(users))
	_, err = users.Fetch(t.Context(), "alice@example.com")
	require.NoError(t, err)
	s := page.Snapshot(t.Context()).Sources[0]
	require.Empty(t, s.Error)
	require.EqualValues(t, 1, s.Counts["loads"])
	require.Equal(t, []debug.Member{
		{Node: "n1", Self: true, Synced: true, Slots: cluster.DefaultSlots},
	}, s.Members)
	require.Empty(t, s.Suspects)
}

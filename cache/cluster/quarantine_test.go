package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/cluster/internal/quarantine"
)

// recordOf returns a record of a key with this number of deaths, as a node sends it.
func recordOf(key string, deaths int) []byte {
	book := quarantine.New(quarantine.Options{Self: quarantine.Incarnation{Node: "witness", ID: 1}})
	for i := range deaths {
		at := quarantine.Incarnation{Node: fmt.Sprint("dead", i), ID: uint64(i)} //nolint:gosec // small
		book.Lost(key, at)
	}
	return book.Record(key)
}

// keyOf returns a key that n asks f for.
func keyOf(t *testing.T, n *node, f *fake) string {
	t.Helper()
	for i := range 1000 {
		key, before := fmt.Sprint("probe", i), len(f.requests())
		_, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
		if len(f.requests()) > before {
			_ = n.Delete(t.Context(), key) // which the fake does not confirm
			return key
		}
	}
	t.Fatal("the fake owns no key")
	return ""
}

func plain(key string) (peer.Value, error) {
	return peer.Value{Data: []byte(key + " of x"), Keep: cache.Forever}, nil
}

// A key whose owner breaks off the connection while it loads is tried by one node, and no caller
// notices.
func TestKeyWhoseOwnerDied(t *testing.T) {
	t.Parallel()
	for _, many := range []bool{false, true} {
		var from batches
		n := startByRing(t, &from, nil)
		var deadly atomic.Bool
		f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
			if deadly.Load() {
				panic(http.ErrAbortHandler)
			}
			return plain(key)
		})
		waitForFakes(t, n, 1)
		key := keyOf(t, n, f)
		deadly.Store(true)
		if many {
			got, err := n.FetchMany(t.Context(), []string{key})
			require.NoError(t, err)
			require.Equal(t, map[string]string{key: key + "#1"}, got, "loaded here")
		} else {
			v, err := n.Fetch(t.Context(), key)
			require.NoError(t, err)
			require.Equal(t, key+"#1", v, "loaded here")
		}
		s := n.Stats()
		require.EqualValues(t, 1, s.Trials)
		require.Zero(t, s.Suspects, "the load has returned, so the key is as before")
		require.Zero(t, s.Quarantined)
	}
}

// A key that has ended two nodes is loaded by none: its callers get an error that says so, or the
// stale value. When the quarantine is over it is tried, and the log has a line for each.
func TestQuarantinedKey(t *testing.T) {
	t.Parallel()
	log, to := newLogbook()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.Quarantine = time.Second
		o.Logger = to
	})
	var deadly atomic.Bool
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if deadly.Load() {
			return peer.Value{}, &peer.SuspectError{Record: recordOf(key, 2)}
		}
		return plain(key)
	})
	waitForFakes(t, n, 1)
	key := keyOf(t, n, f)
	deadly.Store(true)
	began := time.Now()
	_, err := n.Fetch(t.Context(), key)
	var q *cluster.QuarantineError
	require.ErrorAs(t, err, &q)
	require.Equal(t, key, q.Key)
	require.Equal(t, []string{"dead0", "dead1"}, q.Deaths)
	require.WithinRange(t, q.Until, began, time.Now().Add(time.Second))
	require.ErrorContains(t, err, "dead0, dead1")
	_, err = n.FetchMany(t.Context(), []string{key})
	var byKey *cache.ManyError[string]
	require.ErrorAs(t, err, &byKey)
	require.ErrorAs(t, byKey.ByKey[key], &q)
	require.Equal(t, 1, n.Stats().Quarantined)
	require.Zero(t, n.Stats().Trials)
	deadly.Store(false)
	require.Eventually(t, func() bool {
		_, err := n.Fetch(t.Context(), key)
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	require.False(t, time.Now().Before(q.Until), "no node loads it before")
	require.NotEmpty(t, log.with(`level=WARN msg="a key is quarantined`))
	if s := n.Stats(); s.Trials > 0 { // otherwise the fake was its trier
		require.Zero(t, s.Suspects+s.Quarantined)
		require.NotEmpty(t, log.with(`level=INFO msg="a key is out of quarantine`))
	}
}

// The callers of a quarantined key get the stale value where there is one.
func TestStaleValueOfQuarantinedKey(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) { o.Cache.StaleFor = time.Hour })
	var deadly atomic.Bool
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if deadly.Load() {
			return peer.Value{}, &peer.SuspectError{Record: recordOf(key, 2)}
		}
		return peer.Value{Data: []byte(key + " of x"), Keep: 200 * time.Millisecond}, nil
	})
	waitForFakes(t, n, 1)
	key := keyOf(t, n, f)
	v, err := n.Fetch(t.Context(), key)
	require.NoError(t, err)
	deadly.Store(true)
	require.Eventually(t, func() bool {
		got, err := n.Fetch(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, v, got)
		return n.Stats().Quarantined == 1
	}, 20*time.Second, time.Millisecond)
	require.NotZero(t, n.Stats().Stale)
	require.Zero(t, n.Stats().LocalLoads)
}

// A node that is asked for a suspect key in the usual way answers that it is suspect. A node that
// is asked to try it does so, though it does not own the key.
func TestServeSuspect(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, nil)
	f := startFake(t, "x", n.registry.Addr(), plain)
	waitForFakes(t, n, 1)
	key := keyOf(t, n, f)
	own := ""
	for i := 0; own == ""; i++ {
		probe, before := fmt.Sprint("own", i), len(f.requests())
		_, err := n.Fetch(t.Context(), probe)
		require.NoError(t, err)
		if len(f.requests()) == before {
			own = probe
			_ = n.Delete(t.Context(), own)
		}
	}
	client := peer.NewClient(peerConfig("x", 0xfa4e), nil)
	defer client.Close()
	to := peer.Address{Node: n.name, URL: "http://" + n.addr + path, Incarnation: n.Incarnation()}
	var suspect *peer.SuspectError
	_, err := client.Try(t.Context(), to, own, nil, recordOf(own, 2))
	require.ErrorAs(t, err, &suspect, "it is quarantined")
	_, err = client.Fetch(t.Context(), to, own, nil)
	require.ErrorAs(t, err, &suspect)
	require.NotEmpty(t, suspect.Record)
	outcomes := client.FetchMany(t.Context(), to, []peer.Ask{{Key: own}})
	require.ErrorAs(t, outcomes[0].Err, &suspect)
	v, err := client.Try(t.Context(), to, key, nil, recordOf(key, 1))
	require.NoError(t, err)
	require.Contains(t, string(v.Data), key)
	require.EqualValues(t, 1, n.Stats().Trials)
	_, err = client.Fetch(t.Context(), to, key, nil)
	require.NotErrorAs(t, err, &suspect, "it is as before")
	_ = n.Delete(t.Context(), key)
	loads := n.Stats().Loads
	_, err = client.Try(t.Context(), to, key, nil, recordOf(key, 1))
	require.ErrorAs(t, err, &suspect, "it knows better: the key's owner is to be asked")
	require.Equal(t, loads, n.Stats().Loads)
}

// convict makes n learn of this number of deaths of a key, by a request of another node.
func convict(t *testing.T, n *node, key string, deaths int) {
	t.Helper()
	client := peer.NewClient(peerConfig("w", 0x17), nil)
	defer client.Close()
	to := peer.Address{Node: n.name, URL: "http://" + n.addr + path, Incarnation: n.Incarnation()}
	_, _ = client.Try(t.Context(), to, key, nil, recordOf(key, deaths))
}

// A quarantined key stays quarantined when it is deleted, since the load that kills is still there.
func TestDeleteOfQuarantinedKey(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.Cache.Tags = func(string, string) []string { return []string{"tag"} }
	})
	convict(t, n, "k", 2)
	for _, remove := range []func() error{
		func() error { return n.Delete(t.Context(), "k") },
		func() error { return n.InvalidateTag(t.Context(), "tag") },
		func() error { return n.Clear(t.Context()) },
	} {
		require.NoError(t, remove())
		_, err := n.Fetch(t.Context(), "k")
		require.ErrorAs(t, err, new(*cluster.QuarantineError))
	}
	got, err := n.FetchMany(t.Context(), []string{"k", "other"})
	require.Equal(t, map[string]string{"other": "other#1"}, got, "the others of a batch are loaded")
	require.ErrorAs(t, err, new(*cluster.QuarantineError))
	require.Zero(t, from.count("k"))
}

// A fresh value is given while its key is in quarantine, and is not refreshed.
func TestRefreshOfQuarantinedKey(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, func(o *cluster.Options[string]) {
		o.Cache.TTL, o.Cache.RefreshAt = time.Hour, 1e-9
	})
	v, err := n.Fetch(t.Context(), "k")
	require.NoError(t, err)
	convict(t, n, "k", 2)
	loads := from.count("k")
	for range 100 {
		got, err := n.Fetch(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, v[:1], got[:1])
		many, err := n.FetchMany(t.Context(), []string{"k"})
		require.NoError(t, err)
		require.Len(t, many, 1)
	}
	require.LessOrEqual(t, from.count("k"), loads+1, "one load may have been under way")
}

// A load that needs a quarantined key fails with the error of that key, and is not to blame.
func TestLoadThatNeedsQuarantinedKey(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, nil)
	from.set(func(ctx context.Context, key string, _ int) (string, error) {
		if key == "k" {
			return n.Fetch(ctx, "needed")
		}
		return key, nil
	})
	convict(t, n, "needed", 2)
	convict(t, n, "k", 1)
	var q *cluster.QuarantineError
	_, err := n.Fetch(t.Context(), "k")
	require.ErrorAs(t, err, &q)
	require.Equal(t, "needed", q.Key)
	require.Equal(t, 1, n.Stats().Quarantined)
	require.Zero(t, n.Stats().Suspects)
}

// A node that can't be reached, and is passed over for that, has not died of the key.
func TestPassedOverIsNoDeath(t *testing.T) {
	t.Parallel()
	var from batches
	n := startByRing(t, &from, nil)
	var suspicious atomic.Bool
	f := startFake(t, "x", n.registry.Addr(), func(key string) (peer.Value, error) {
		if suspicious.Load() {
			return peer.Value{}, &peer.SuspectError{Record: recordOf(key, 1)}
		}
		return plain(key)
	}, func(f *fake) {
		f.try = func(context.Context, string) (peer.Value, error) {
			return peer.Value{}, peer.ErrClosing
		}
	})
	waitForFakes(t, n, 1)
	suspicious.Store(true)
	for i := range 20 { // x is the trier of some of these, and does not deliver
		_, err := n.Fetch(t.Context(), fmt.Sprint("suspect", i))
		require.NoError(t, err)
	}
	trials := n.Stats().Trials
	require.NotZero(t, trials)
	f.close()
	for i := range 100 {
		_, err := n.Fetch(t.Context(), fmt.Sprint("other", i))
		require.NoError(t, err)
	}
	require.NotZero(t, n.Stats().AskFailures.PassedOver)
	require.LessOrEqual(t, n.Stats().Trials, trials+1, "one for a connection that broke")
}

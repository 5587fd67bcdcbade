package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachetest"
	"github.com/snowfence/snowfence/cache/internal/hook"
)

// A gatedStorage is a Storage whose calls of one kind wait until a test lets them go on.
type gatedStorage struct {
	cache.Storage

	mu     sync.Mutex // guards the following
	write  chan struct{}
	remove chan struct{}
}

// hold makes the calls of Write, and of Delete and Invalidate, wait for the channels. nil: they do
// not wait.
func (s *gatedStorage) hold(write, remove chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write, s.remove = write, remove
}

func (s *gatedStorage) wait(ctx context.Context, gate func() chan struct{}) error {
	s.mu.Lock()
	c := gate()
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *gatedStorage) Write(ctx context.Context, records []cache.Record) error {
	if err := s.wait(ctx, func() chan struct{} { return s.write }); err != nil {
		return err
	}
	return s.Storage.Write(ctx, records)
}

func (s *gatedStorage) Delete(ctx context.Context, keys []string) error {
	if err := s.wait(ctx, func() chan struct{} { return s.remove }); err != nil {
		return err
	}
	return s.Storage.Delete(ctx, keys)
}

func (s *gatedStorage) Invalidate(ctx context.Context, tags []string) error {
	if err := s.wait(ctx, func() chan struct{} { return s.remove }); err != nil {
		return err
	}
	return s.Storage.Invalidate(ctx, tags)
}

// patientStorage returns options with s, whose calls may take long.
func patientStorage(
	s cache.Storage, o cache.Options[string, string],
) cache.Options[string, string] {
	o = withStorage(s, o)
	o.SecondLevel.Timeout = time.Hour
	return o
}

// TestInvalidatedSetIsNotGiven: what was set and waits to be written is not given after its tag was
// invalidated, also when the second level has confirmed that.
func TestInvalidatedSetIsNotGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &gatedStorage{Storage: cachetest.NewStorage(t)}
		c := newCache(t, patientStorage(s, cache.Options[string, string]{
			TTL: time.Hour, Tags: func(string, string) []string { return []string{"tag"} },
		}))
		gate := make(chan struct{})
		s.hold(gate, nil)
		c.Set("first", "old")
		synctest.Wait() // the goroutine waits with it
		const more = 600
		for i := range more {
			c.Set(strconv.Itoa(i), "old")
		}
		c.InvalidateTag("tag")
		gate <- struct{}{} // first
		synctest.Wait()
		gate <- struct{}{} // the invalidation, and a part of the others
		synctest.Wait()
		require.Less(t, c.Stats().SecondPending, more)
		require.NotZero(t, c.Stats().SecondPending)
		for i := range more {
			require.Equal(t, "new", fetch(t, c, strconv.Itoa(i), returns[string]("new")))
		}
		s.hold(nil, nil)
		close(gate)
	})
}

// TestPendingLoadIsNotGiven: the result of a load that waits to be written is not given once
// another process has deleted the key.
func TestPendingLoadIsNotGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := cache.Options[string, string]{TTL: time.Hour, Capacity: 1}
		slow := &gatedStorage{Storage: s}
		c, other := newCache(t, patientStorage(slow, o)), newCache(t, patientStorage(s, o))
		gate := make(chan struct{})
		slow.hold(gate, nil)
		require.Equal(t, "old", fetch(t, c, "a", returns[string]("old")))
		other.Delete("a")
		require.NoError(t, other.Flush(t.Context()))
		c.Set("b", "evicts a")
		require.Equal(t, "new", fetch(t, c, "a", returns[string]("new")))
		slow.hold(nil, nil)
		close(gate)
		require.NoError(t, c.Flush(t.Context()))
		require.NotContains(t, s.Records(), "a", "its fence is outdated")
	})
}

// TestFlushOfReplacedChanges: a change that a newer one has replaced, before the second level was
// asked for it, is confirmed with that and not before.
func TestFlushOfReplacedChanges(t *testing.T) {
	remove := func(c *cache.Cache[string, string]) { c.Delete("a") }
	invalidate := func(c *cache.Cache[string, string]) { c.InvalidateTag("tag") }
	for name, changes := range map[string][2]func(*cache.Cache[string, string]){
		"set":         {remove, func(c *cache.Cache[string, string]) { c.Set("a", "new") }},
		"deleted":     {remove, remove},
		"cleared":     {remove, func(c *cache.Cache[string, string]) { c.Clear() }},
		"invalidated": {invalidate, invalidate},
		"too many tags": {invalidate, func(c *cache.Cache[string, string]) {
			c.InvalidateTag("other")
		}},
		"too many keys": {remove, func(c *cache.Cache[string, string]) {
			for i := range 100 {
				c.Delete(strconv.Itoa(i))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &gatedStorage{Storage: cachetest.NewStorage(t)}
				o := patientStorage(s, cache.Options[string, string]{
					TTL: time.Hour, Tags: func(string, string) []string { return []string{"tag"} },
				})
				o.SecondLevel.MaxPending = 1
				c := newCache(t, o)
				fetch(t, c, "a", returns[string]("old"))
				require.NoError(t, c.Flush(t.Context()))
				gate := make(chan struct{})
				s.hold(gate, gate)
				c.Delete("first")
				synctest.Wait() // the goroutine waits with it
				changes[0](c)
				flushed := make(chan error, 1)
				go func() { flushed <- c.Flush(t.Context()) }()
				synctest.Wait()
				changes[1](c)
				gate <- struct{}{} // first
				synctest.Wait()    // the goroutine waits with what has replaced the change
				require.Empty(t, flushed, "it was not confirmed")
				s.hold(nil, nil)
				close(gate)
				require.NoError(t, <-flushed)
				again := newCache(t, withStorage(s, cache.Options[string, string]{TTL: time.Hour}))
				require.Equal(t, "new", fetch(t, again, "a", returns[string]("new")))
			})
		})
	}
}

// TestFlushEndsWithClose: a Flush that waits when the cache is closed, or comes later, does not
// wait for what will never be written.
func TestFlushEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		c, err := cache.New(withStorage(s, cache.Options[string, string]{TTL: time.Hour}))
		require.NoError(t, err)
		s.SetFault(cachetest.StorageFault{Err: errLoad})
		c.Delete("a")
		flushed := make(chan error, 1)
		go func() { flushed <- c.Flush(context.Background()) }()
		synctest.Wait()
		require.Error(t, c.Close())
		err = <-flushed
		require.ErrorIs(t, err, cache.ErrClosed)
		require.ErrorIs(t, c.Flush(context.Background()), cache.ErrClosed)
		require.Zero(t, c.Stats().SecondPending)
		require.NoError(t, c.Close())
	})
}

// TestLoadDoesNotReplaceDelete: where package cluster removes a key in the second level first, and
// then in the caches, a load that ends in between does not take the place of the delete.
func TestLoadDoesNotReplaceDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		c := newCache(t, withStorage(s, cache.Options[string, string]{TTL: time.Hour}))
		h := hook.Of[string, string](c)
		require.True(t, h.TakeSecondLevel(func([]string, []string) {}))
		through := func(v string, pause time.Duration) func(context.Context, string) (string, error) {
			return func(ctx context.Context, key string) (string, error) {
				return h.Through(ctx, key, func(context.Context, string) (string, error) {
					time.Sleep(pause)
					return v, nil
				})
			}
		}
		fetch(t, c, "a", through("x", 0)) // makes the log known
		require.NoError(t, c.Flush(t.Context()))
		fetch(t, c, "b", through("older", 0))
		require.NoError(t, c.Flush(t.Context()))
		require.Contains(t, s.Records(), "b")
		c.Expire("b") // here alone
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.Refresh(t.Context(), "b", through("old", 100*time.Millisecond))
		}()
		time.Sleep(50 * time.Millisecond)
		s.SetFault(cachetest.StorageFault{Err: errLoad})
		require.False(t, h.RemoveSecond(t.Context(), []string{"b"}, nil))
		<-done
		c.Delete("b")
		s.SetFault(cachetest.StorageFault{})
		require.NoError(t, c.Flush(t.Context()))
		require.NotContains(t, s.Records(), "b")
	})
}

// TestMaxPending: values beyond the bound are not written, and those that were set are deleted.
func TestMaxPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &gatedStorage{Storage: cachetest.NewStorage(t)}
		o := patientStorage(s, cache.Options[string, string]{TTL: time.Hour})
		o.SecondLevel.MaxPending = 10
		c := newCache(t, o)
		gate := make(chan struct{})
		s.hold(gate, nil)
		for i := range 100 {
			fetch(t, c, strconv.Itoa(i), returns[string]("v"))
			require.LessOrEqual(t, c.Stats().SecondPending, 10)
		}
		require.EqualValues(t, 90, c.Stats().SecondDropped)
		s.hold(nil, nil)
		close(gate)
		require.NoError(t, c.Flush(t.Context()))
	})
}

// TestTinyTTL: a value whose TTL has ended before it is written is not stored for ever.
func TestTinyTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
		o.SecondLevel.Key = func(key string) string {
			time.Sleep(time.Second)
			return key
		}
		c := newCache(t, o)
		c.SetTTL("a", "old", time.Second)
		require.NoError(t, c.Flush(t.Context()))
		again := newCache(t, o)
		require.Equal(t, "new", fetch(t, again, "a", returns[string]("new")))
	})
}

// TestMissingForTheRest: a missing record is remembered for the rest of its time, also if that
// equals Options.TTL.
func TestMissingForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{
			TTL: time.Minute, NotFoundTTL: 2 * time.Minute,
		})
		c := newCache(t, o)
		_, err := c.Fetch(t.Context(), "a", fails[string, string](cache.ErrNotFound))
		require.ErrorIs(t, err, cache.ErrNotFound)
		require.NoError(t, c.Flush(t.Context()))
		time.Sleep(time.Minute)
		again := newCache(t, o)
		_, err = again.Fetch(t.Context(), "a", mustNotLoad[string, string](t))
		require.ErrorIs(t, err, cache.ErrNotFound)
		time.Sleep(time.Minute)
		require.Equal(t, "new", fetch(t, again, "a", returns[string]("new")))
	})
}

// TestStorageClockFarOff: a record is not fresh since the difference of two times overflows.
func TestStorageClockFarOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour, StaleFor: cache.Forever})
		const years = 365 * 24 * time.Hour
		s.SetAhead(-25 * years)
		c := newCache(t, o)
		fetch(t, c, "a", returns[string]("old"))
		require.NoError(t, c.Flush(t.Context()))
		s.SetAhead(290 * years)
		require.Equal(t, "new", fetch(t, newCache(t, o), "a", returns[string]("new")))
	})
}

// TestKeyPanics: a load whose record has no name does without the second level.
func TestKeyPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cachetest.NewStorage(t)
		o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
		o.SecondLevel.Key = func(key string) string {
			if key == "bad" {
				panic("a bad key")
			}
			return key
		}
		c := newCache(t, o)
		fetch(t, c, "good", returns[string]("x"))
		require.NoError(t, c.Flush(t.Context()))
		require.Equal(t, "v", fetch(t, c, "bad", returns[string]("v")))
		require.EqualValues(t, 1, c.Stats().SecondErrors)
		again := newCache(t, o)
		m, err := again.FetchMany(t.Context(), []string{"good", "bad"},
			func(_ context.Context, keys []string) (map[string]string, error) {
				require.Equal(t, []string{"bad"}, keys)
				return map[string]string{"bad": "v"}, nil
			})
		require.NoError(t, err)
		require.Equal(t, map[string]string{"good": "x", "bad": "v"}, m)
		require.EqualValues(t, 1, again.Stats().SecondErrors)
	})
}

// A handNotifier reports what a test says.
type handNotifier struct {
	cache.Storage

	notices chan cache.Notice
	quit    chan struct{}
	done    chan struct{}
}

// Watch may be called once, and stop too.
func (n *handNotifier) Watch(notify func(cache.Notice)) (stop func()) {
	go func() {
		defer close(n.done)
		for {
			select {
			case notice := <-n.notices:
				notify(notice)
			case <-n.quit:
				return
			}
		}
	}()
	return func() {
		close(n.quit)
		<-n.done
	}
}

// TestParseKeyFails: a name that came from outside does not end the process, and one whose parsing
// hangs does not hold up Close for ever.
func TestParseKeyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &handNotifier{
			cachetest.NewStorage(t), make(chan cache.Notice), make(chan struct{}), make(chan struct{}),
		}
		release := make(chan struct{})
		o := cache.Options[any, string]{TTL: time.Hour}
		o.SecondLevel = cache.SecondLevel[any, string]{
			Storage: s,
			Key:     func(key any) string { return fmt.Sprint(key) },
			ParseKey: func(name string) (any, bool) {
				switch name {
				case "panics":
					panic("a bad name")
				case "no key":
					return []int{1}, true
				case "hangs":
					<-release
				}
				return name, true
			},
		}
		c, err := cache.New(o)
		require.NoError(t, err)
		_, err = c.Fetch(t.Context(), "a", returns[any]("v"))
		require.NoError(t, err)
		s.notices <- cache.Notice{Keys: []string{"panics", "no key", "a"}}
		synctest.Wait()
		require.False(t, c.Contains("a"))
		require.EqualValues(t, 2, c.Stats().SecondErrors)
		s.notices <- cache.Notice{Keys: []string{"hangs"}}
		began := time.Now()
		require.ErrorIs(t, c.Close(), context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
		close(release)
		require.NoError(t, c.Close())
	})
}

// A brokenCodec fails at values that say so.
type brokenCodec struct{ release chan struct{} }

func (brokenCodec) Name() string                       { return "broken" }
func (brokenCodec) Decode(data []byte) (string, error) { return string(data), nil }
func (c brokenCodec) Encode(v string) ([]byte, error) {
	switch v {
	case "panics":
		panic("a bad value")
	case "exits":
		runtime.Goexit()
	case "hangs":
		<-c.release
	}
	return []byte(v), nil
}

// TestEncodeFails: a value that can't be encoded is deleted instead, whatever its codec does, and
// holds up no other change for longer than Timeout.
func TestEncodeFails(t *testing.T) {
	for _, bad := range []string{"panics", "exits", "hangs"} {
		t.Run(bad, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := cachetest.NewStorage(t)
				o := withStorage(s, cache.Options[string, string]{TTL: time.Hour})
				codec := brokenCodec{make(chan struct{})}
				o.SecondLevel.Codec = codec
				c := newCache(t, o)
				fetch(t, c, "a", returns[string]("old"))
				require.NoError(t, c.Flush(t.Context()))
				require.Contains(t, s.Records(), "a")
				for range 3 {
					c.Set("a", bad)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					require.NoError(t, c.Flush(ctx))
					cancel()
					require.NotContains(t, s.Records(), "a")
				}
				c.Set("b", "good")
				require.NoError(t, c.Flush(t.Context()))
				require.Contains(t, s.Records(), "b")
				require.EqualValues(t, 3, c.Stats().SecondDropped)
				close(codec.release)
			})
		})
	}
}

// An exitingStorage ends the goroutine of each Read.
type exitingStorage struct{ cache.Storage }

func (exitingStorage) Read(context.Context, []string, uint64) (cache.Reading, error) {
	runtime.Goexit()
	return cache.Reading{}, errors.New("not reached")
}

// TestStorageExits: a Storage that calls runtime.Goexit has failed, and can be used again.
func TestStorageExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &swappedStorage{now: exitingStorage{cachetest.NewStorage(t)}}
		c := newCache(t, withStorage(s, cache.Options[string, string]{TTL: time.Hour}))
		for i := range 200 {
			require.Equal(t, "v", fetch(t, c, strconv.Itoa(i), returns[string]("v")))
			time.Sleep(2 * time.Second)
		}
		require.NotZero(t, c.Stats().SecondErrors)
		s.swap(cachetest.NewStorage(t))
		time.Sleep(2 * time.Second)
		fetch(t, c, "later", returns[string]("v"))
		require.NoError(t, c.Flush(t.Context()))
		require.NotZero(t, c.Stats().SecondWrites)
	})
}

// A swappedStorage stands for another one at each time.
type swappedStorage struct {
	mu  sync.Mutex // guards the following
	now cache.Storage
}

func (s *swappedStorage) swap(by cache.Storage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = by
}

func (s *swappedStorage) at() cache.Storage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *swappedStorage) Read(
	ctx context.Context, keys []string, since uint64,
) (cache.Reading, error) {
	return s.at().Read(ctx, keys, since)
}

func (s *swappedStorage) Write(ctx context.Context, records []cache.Record) error {
	return s.at().Write(ctx, records)
}

func (s *swappedStorage) Delete(ctx context.Context, keys []string) error {
	return s.at().Delete(ctx, keys)
}

func (s *swappedStorage) Invalidate(ctx context.Context, tags []string) error {
	return s.at().Invalidate(ctx, tags)
}

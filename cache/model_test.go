package cache_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// Random sequences of operations do what they do to a simple model. A failure
// is logged with its seed and shrunk; -rapid.seed plays it again.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Behind the interface, since rapid asks a *testing.T for what there is
		// not in a bubble: its deadline.
		rounds := 20
		if raceEnabled {
			rounds = 5
		}
		for range rounds { // each of a hundred sequences
			rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) {
				m := newModel(t)
				t.Repeat(map[string]func(*rapid.T){
					"":        m.check,
					"get":     m.get,
					"set":     m.set,
					"setTTL":  m.setTTL,
					"delete":  m.delete,
					"fetch":   m.fetch,
					"clear":   m.clear,
					"advance": m.advance,
				})
			})
		}
	})
}

// A model is a strict LRU of live entries. Expired ones need no place in it:
// they are the first to go, so they never cost a live one its place.
type model struct {
	c        *cache.Cache[int, int]
	capacity int
	ttl      time.Duration
	live     []modelEntry // the oldest first
	last     int          // value stored or loaded
	left     int          // callbacks
	stored   int
	evicted  uint64
}

type modelEntry struct {
	key, value int
	expires    time.Time // zero: never
}

func newModel(t *rapid.T) *model {
	m := &model{
		capacity: rapid.IntRange(1, 6).Draw(t, "capacity"),
		ttl:      rapid.SampledFrom([]time.Duration{0, 1500 * time.Millisecond, time.Minute}).Draw(t, "ttl"),
	}
	c, err := cache.New(cache.Options[int, int]{
		Capacity:   m.capacity,
		TTL:        m.ttl,
		OnEviction: func(int, int, cache.Reason) { m.left++ },
		ClockError: -1, // the model has an exact clock
	})
	if err != nil {
		t.Fatal(err)
	}
	m.c = c
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if m.left != m.stored {
			t.Errorf("%d entries were stored, %d left", m.stored, m.left)
		}
	})
	return m
}

func drawKey(t *rapid.T) int { return rapid.IntRange(0, 8).Draw(t, "key") }

func (m *model) find(key int) int {
	return slices.IndexFunc(m.live, func(e modelEntry) bool { return e.key == key })
}

// use moves the entry to the front.
func (m *model) use(i int) modelEntry {
	e := m.live[i]
	m.live = append(slices.Delete(m.live, i, i+1), e)
	return e
}

func (m *model) remove(key int) bool {
	i := m.find(key)
	if i >= 0 {
		m.live = slices.Delete(m.live, i, i+1)
	}
	return i >= 0
}

func (m *model) store(key, value int, ttl time.Duration) {
	m.remove(key)
	e := modelEntry{key: key, value: value}
	if ttl > 0 {
		e.expires = time.Now().Add(ttl)
	}
	m.stored++
	m.live = append(m.live, e)
	if len(m.live) > m.capacity {
		m.live = m.live[1:]
		m.evicted++
	}
}

func (m *model) get(t *rapid.T) {
	key := drawKey(t)
	v, ok := m.c.Get(key)
	i := m.find(key)
	if ok != (i >= 0) {
		t.Fatalf("Get(%d) is %v, want %v", key, ok, i >= 0)
	}
	if ok {
		if want := m.use(i).value; v != want {
			t.Fatalf("Get(%d) = %d, want %d", key, v, want)
		}
	}
}

func (m *model) set(t *rapid.T) {
	key := drawKey(t)
	m.last++
	m.c.Set(key, m.last)
	m.store(key, m.last, m.ttl)
}

var drawTTL = rapid.SampledFrom([]time.Duration{-1, 0, 1, 700 * time.Millisecond, 5 * time.Second})

func (m *model) setTTL(t *rapid.T) {
	key, ttl := drawKey(t), drawTTL.Draw(t, "ttl")
	m.last++
	m.c.SetTTL(key, m.last, ttl)
	if ttl < 0 {
		m.remove(key)
	} else {
		m.store(key, m.last, ttl)
	}
}

func (m *model) delete(t *rapid.T) {
	key := drawKey(t)
	got, want := m.c.Delete(key), m.remove(key)
	if got != want {
		t.Fatalf("Delete(%d) = %v, want %v", key, got, want)
	}
}

func (m *model) fetch(t *rapid.T) {
	key := drawKey(t)
	how := rapid.SampledFrom([]string{"good", "error", "panic", "StoreFor"}).Draw(t, "load")
	ttl := m.ttl
	if how == "StoreFor" {
		ttl = drawTTL.Draw(t, "ttl")
	}
	loaded := false
	v, err := m.c.Fetch(context.Background(), key, func(ctx context.Context, _ int) (int, error) {
		loaded = true
		m.last++
		switch how {
		case "error":
			return 0, errLoad
		case "panic":
			panic("fetch")
		case "StoreFor":
			cache.StoreFor(ctx, ttl)
		}
		return m.last, nil
	})
	if i := m.find(key); i >= 0 {
		if want := m.use(i).value; loaded || err != nil || v != want {
			t.Fatalf("Fetch(%d) = %d, %v, loaded: %v; want %d from the cache", key, v, err, loaded, want)
		}
		return
	}
	var panicked *courier.PanicError
	switch {
	case !loaded:
		t.Fatalf("Fetch(%d) = %d, %v without a load", key, v, err)
	case how == "error":
		if !errors.Is(err, errLoad) {
			t.Fatalf("Fetch(%d): %v", key, err)
		}
	case how == "panic":
		if !errors.As(err, &panicked) {
			t.Fatalf("Fetch(%d): %v", key, err)
		}
	case err != nil || v != m.last:
		t.Fatalf("Fetch(%d) = %d, %v, want %d", key, v, err, m.last)
	case how != "StoreFor" || ttl > 0:
		m.store(key, v, ttl)
	}
}

func (m *model) clear(*rapid.T) {
	m.c.Clear()
	m.live = nil
}

func (m *model) advance(t *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{1, 100 * time.Millisecond, time.Second, 10 * time.Second}).Draw(t, "by"))
	synctest.Wait() // for the sweep
	m.live = slices.DeleteFunc(m.live, func(e modelEntry) bool {
		return !e.expires.IsZero() && !time.Now().Before(e.expires)
	})
}

func (m *model) check(t *rapid.T) {
	synctest.Wait() // for the callbacks
	got := contents(m.c)
	if len(got) != len(m.live) {
		t.Fatalf("holds %v, want %v", got, m.live)
	}
	for _, e := range m.live {
		if v, ok := got[e.key]; !ok || v != e.value {
			t.Fatalf("holds %v, want %v", got, m.live)
		}
	}
	if n := m.c.Len(); n < len(m.live) || n > m.capacity {
		t.Fatalf("Len is %d with %d live entries and capacity %d", n, len(m.live), m.capacity)
	}
	if n := m.c.Len(); n+m.left != m.stored {
		t.Fatalf("%d entries were stored, %d left, %d are there", m.stored, m.left, n)
	}
	if n := m.c.Stats().Evictions; n != m.evicted {
		t.Fatalf("%d evictions, want %d", n, m.evicted)
	}
	if err := m.c.Audit(); err != nil {
		t.Fatal(err)
	}
}

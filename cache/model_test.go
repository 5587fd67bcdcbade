package cache_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
)

// Random sequences of operations have the same results on a simple model. A failure is logged with
// its seed and shrunk; -rapid.seed replays it.
func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The interface hides the deadline of *testing.T from rapid, since it does not exist in a
		// bubble.
		rounds := 20
		if raceEnabled {
			rounds = 5
		}
		for range rounds { // each of a hundred sequences
			rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) {
				m := newModel(t)
				t.Repeat(map[string]func(*rapid.T){
					"":              m.check,
					"get":           m.get,
					"set":           m.set,
					"setTTL":        m.setTTL,
					"setIfAbsent":   m.setIfAbsent,
					"update":        m.update,
					"touch":         m.touch,
					"expire":        m.expire,
					"delete":        m.delete,
					"getAndDelete":  m.getAndDelete,
					"invalidateTag": m.invalidateTag,
					"fetch":         m.fetch,
					"refresh":       m.refresh,
					"clear":         m.clear,
					"advance":       m.advance,
				})
			})
		}
	})
}

// A model is a strict LRU of fresh and stale entries. Stale ones go first, those that would be gone
// the soonest before the others. Entries that are gone are not in the model: the cache evicts them
// first, so they never displace others.
type model struct {
	c        *cache.Cache[int, int]
	capacity int
	ttl      time.Duration
	staleFor time.Duration
	missing  map[int]time.Time // until when it is remembered that there is no record
	notFound time.Duration
	entries  []modelEntry // the oldest first
	last     int          // value stored or loaded
	left     int          // callbacks
	stored   int
	evicted  uint64
}

type modelEntry struct {
	key, value int
	stored     time.Time
	expires    time.Time // zero: never
	rest       time.Time // until when a stale value is given at once
}

func newModel(t *rapid.T) *model {
	m := &model{
		capacity: rapid.IntRange(1, 6).Draw(t, "capacity"),
		ttl: rapid.SampledFrom([]time.Duration{0, 1500 * time.Millisecond, time.Minute}).Draw(t,
			"ttl"),
		staleFor: rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour}).Draw(t, "staleFor"),
		notFound: rapid.SampledFrom([]time.Duration{0, 2 * time.Second}).Draw(t, "notFound"),
		missing:  make(map[int]time.Time),
	}
	o := cache.Options[int, int]{
		Capacity:    m.capacity,
		Policy:      cache.LRU, // which is strict
		TTL:         m.ttl,
		StaleFor:    m.staleFor,
		NotFoundTTL: m.notFound,
		Tags:        func(_, v int) []string { return tagsOf(v) },
		OnEviction:  func(int, int, cache.Reason) { m.left++ },
		ClockError:  -1, // the model has an exact clock
	}
	if m.notFound > 0 {
		o.MaxNotFound = 100 // more than there are keys
	}
	c, err := cache.New(o)
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

func tagsOf(v int) []string { return []string{"all", fmt.Sprint("of ", v%3)} }

func drawKey(t *rapid.T) int { return rapid.IntRange(0, 8).Draw(t, "key") }

func (m *model) fresh(e modelEntry) bool {
	return e.expires.IsZero() || time.Now().Before(e.expires)
}

// find returns the place of key's entry, fresh or stale, or -1.
func (m *model) find(key int) int {
	return slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.key == key })
}

// findFresh returns the place of key's entry, or -1 if that is not fresh.
func (m *model) findFresh(key int) int {
	i := m.find(key)
	if i >= 0 && !m.fresh(m.entries[i]) {
		return -1
	}
	return i
}

// use moves the entry to the front.
func (m *model) use(i int) modelEntry {
	e := m.entries[i]
	m.entries = append(slices.Delete(m.entries, i, i+1), e)
	return e
}

// remove removes key's entry, and reports whether it was fresh.
func (m *model) remove(key int) bool {
	was := m.findFresh(key) >= 0
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool { return e.key == key })
	return was
}

// write is remove by the user.
func (m *model) write(key int) bool {
	delete(m.missing, key)
	return m.remove(key)
}

// A room holds the state before an operation that may store.
type room struct{ mustEvict, gone bool }

func (m *model) room(key int) room {
	held := m.c.Len()
	return room{!m.c.Holds(key) && held == m.capacity, held > len(m.entries)}
}

// store updates the model after a new value was stored.
func (m *model) store(t *rapid.T, room room, key, value int, ttl time.Duration) {
	m.write(key)
	if room.mustEvict && !room.gone {
		m.evict(t)
	}
	e := modelEntry{key: key, value: value, stored: time.Now()}
	if ttl > 0 {
		e.expires = time.Now().Add(ttl)
	}
	m.stored++
	m.entries = append(m.entries, e)
}

// evict removes the entry that was evicted, of those that had to go.
func (m *model) evict(t *rapid.T) {
	m.evicted++
	var stale []modelEntry
	for _, e := range m.entries {
		if !m.fresh(e) {
			stale = append(stale, e)
		}
	}
	if len(stale) == 0 {
		m.entries = m.entries[1:]
		return
	}
	soonest := slices.MinFunc(stale, func(a, b modelEntry) int { return a.expires.Compare(b.expires) })
	for _, e := range stale {
		if e.expires.Equal(soonest.expires) && !m.c.Holds(e.key) {
			m.remove(e.key)
			return
		}
	}
	t.Fatalf("the entry that has been stale longest was not evicted, of %v", stale)
}

// renew gives the entry at i a new TTL.
func (m *model) renew(i int, expires time.Time) {
	m.entries[i].expires, m.entries[i].rest = expires, time.Time{}
	m.use(i)
}

func (m *model) get(t *rapid.T) {
	key := drawKey(t)
	v, ok := m.c.Get(key)
	i := m.findFresh(key)
	m.compare(t, "Get", key, v, ok, i)
	if i >= 0 {
		m.use(i)
	}
}

// compare compares the result of an operation with the entry at i, or with none if i is -1.
func (m *model) compare(t *rapid.T, op string, key, v int, ok bool, i int) {
	want := 0
	if i >= 0 {
		want = m.entries[i].value
	}
	if ok != (i >= 0) || v != want {
		t.Fatalf("%s(%d) = %d, %t, want %d, %t", op, key, v, ok, want, i >= 0)
	}
}

func (m *model) set(t *rapid.T) {
	key := drawKey(t)
	room := m.room(key)
	m.last++
	m.c.Set(key, m.last)
	m.store(t, room, key, m.last, m.ttl)
}

var drawTTL = rapid.SampledFrom([]time.Duration{-1, 0, 1, 700 * time.Millisecond, 5 * time.Second})

func (m *model) setTTL(t *rapid.T) {
	key, ttl := drawKey(t), drawTTL.Draw(t, "ttl")
	room := m.room(key)
	m.last++
	m.c.SetTTL(key, m.last, ttl)
	if ttl < 0 {
		m.write(key)
	} else {
		m.store(t, room, key, m.last, ttl)
	}
}

func (m *model) setIfAbsent(t *rapid.T) {
	key := drawKey(t)
	room := m.room(key)
	m.last++
	v, stored := m.c.SetIfAbsent(key, m.last)
	i := m.findFresh(key)
	if stored != (i < 0) {
		t.Fatalf("SetIfAbsent(%d) = %d, %t", key, v, stored)
	}
	if !stored {
		m.compare(t, "SetIfAbsent", key, v, true, i)
		return
	}
	m.store(t, room, key, m.last, m.ttl)
}

func (m *model) update(t *rapid.T) {
	key := drawKey(t)
	op := rapid.SampledFrom([]cache.Op{cache.Keep, cache.Store, cache.Remove}).Draw(t, "op")
	room := m.room(key)
	i := m.findFresh(key)
	m.last++
	v, ok := m.c.Update(key, func(old int, ok bool) (int, cache.Op) {
		m.compare(t, "the function of Update", key, old, ok, i)
		return m.last, op
	})
	switch op {
	case cache.Keep:
		m.compare(t, "Update, Keep", key, v, ok, i)
	case cache.Store:
		m.store(t, room, key, m.last, m.ttl)
		m.compare(t, "Update, Store", key, v, ok, m.find(key))
	case cache.Remove:
		m.write(key)
		m.compare(t, "Update, Remove", key, v, ok, -1)
	}
}

func (m *model) touch(t *rapid.T) {
	key, ttl := drawKey(t), drawTTL.Draw(t, "ttl")
	ok := m.c.Touch(key, ttl)
	i := m.findFresh(key)
	if ok != (i >= 0) {
		t.Fatalf("Touch(%d) = %t", key, ok)
	}
	switch {
	case ttl < 0:
		m.write(key)
	case i < 0:
	case ttl == 0:
		m.renew(i, time.Time{})
	default:
		m.renew(i, time.Now().Add(ttl))
	}
}

func (m *model) expire(t *rapid.T) {
	key := drawKey(t)
	ok := m.c.Expire(key)
	delete(m.missing, key)
	i := m.findFresh(key)
	if ok != (i >= 0) {
		t.Fatalf("Expire(%d) = %t", key, ok)
	}
	switch {
	case i < 0:
	case m.staleFor == 0:
		m.remove(key)
	default:
		m.renew(i, time.Now())
	}
}

func (m *model) delete(t *rapid.T) {
	key := drawKey(t)
	got, want := m.c.Delete(key), m.write(key)
	if got != want {
		t.Fatalf("Delete(%d) = %v, want %v", key, got, want)
	}
}

func (m *model) getAndDelete(t *rapid.T) {
	key := drawKey(t)
	v, ok := m.c.GetAndDelete(key)
	m.compare(t, "GetAndDelete", key, v, ok, m.findFresh(key))
	m.write(key)
}

func (m *model) invalidateTag(t *rapid.T) {
	tag := rapid.SampledFrom([]string{"all", "of 0", "of 1", "of 2", "another"}).Draw(t, "tag")
	m.c.InvalidateTag(tag)
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool {
		return slices.Contains(tagsOf(e.value), tag)
	})
}

var drawLoad = rapid.SampledFrom([]string{
	"good", "error", "panic", "StoreFor", "not found", "not modified",
})

// A modelLoad is a load that ends at once.
type modelLoad struct {
	how  string
	ttl  time.Duration
	room room
	old  *modelEntry // the entry that it is to replace

	ran bool
}

func (m *model) newLoad(t *rapid.T, key int) *modelLoad {
	l := &modelLoad{how: drawLoad.Draw(t, "load"), ttl: m.ttl, room: m.room(key)}
	if l.how == "StoreFor" {
		l.ttl = drawTTL.Draw(t, "ttl")
	}
	if i := m.find(key); i >= 0 {
		old := m.entries[i]
		l.old = &old
	}
	return l
}

// fetch is l's fetch function.
func (l *modelLoad) fetch(t *rapid.T, m *model) func(context.Context, int) (int, error) {
	return func(ctx context.Context, key int) (int, error) {
		l.ran = true
		m.last++
		v, ok := cache.Previous[int](ctx)
		if ok != (l.old != nil) || ok && v != l.old.value {
			t.Errorf("key %d: Previous is %d, %t, want %v", key, v, ok, l.old)
		}
		switch l.how {
		case "error":
			return 0, errLoad
		case "panic":
			panic("fetch")
		case "StoreFor":
			cache.StoreFor(ctx, l.ttl)
		case "not found":
			return 0, cache.ErrNotFound
		case "not modified":
			return 0, cache.ErrNotModified
		}
		return m.last, nil
	}
}

// end ends l, and returns the result of its callers.
func (l *modelLoad) end(t *rapid.T, m *model, key int) (v int, failed error) {
	switch i := m.find(key); {
	case l.how == "error":
		failed = errLoad
	case l.how == "panic":
		failed = errPanic
	case l.how == "not found":
		m.remove(key)
		if m.notFound > 0 {
			m.missing[key] = time.Now().Add(m.notFound)
		}
		return 0, cache.ErrNotFound
	case l.how == "not modified" && i >= 0:
		m.entries[i].stored = time.Now()
		expires := time.Time{}
		if m.ttl > 0 {
			expires = time.Now().Add(m.ttl)
		}
		v = m.entries[i].value
		m.renew(i, expires)
		delete(m.missing, key)
		return v, nil
	case l.how == "not modified":
		failed = cache.ErrNotModified
	case l.how == "StoreFor" && l.ttl <= 0:
		m.write(key) // there is a record, though its value is not kept
		return m.last, nil
	default:
		m.store(t, l.room, key, m.last, l.ttl)
		return m.last, nil
	}
	if i := m.find(key); i >= 0 && !m.fresh(m.entries[i]) {
		m.entries[i].rest = time.Now().Add(cache.DefaultStaleRetry)
	}
	return 0, failed
}

var errPanic = errors.New("panic")

func isError(err, want error) bool {
	if want == errPanic { //nolint:errorlint // it is not wrapped
		return errors.As(err, new(*courier.PanicError))
	}
	return errors.Is(err, want)
}

func (m *model) fetch(t *rapid.T) {
	key := drawKey(t)
	l := m.newLoad(t, key)
	now := time.Now()
	got, err := m.c.FetchResult(context.Background(), key, l.fetch(t, m))
	fresh := m.findFresh(key)
	var want cache.Result[int]
	var wantErr error
	wantLoad := false
	switch {
	case fresh >= 0:
		e := m.use(fresh)
		want = cache.Result[int]{Value: e.value, Age: now.Sub(e.stored)}
	case now.Before(m.missing[key]):
		wantErr = cache.ErrNotFound
	case l.old != nil && now.Before(l.old.rest):
		want.Stale = true
	default:
		wantLoad = true
		want.Value, wantErr = l.end(t, m, key)
		if wantErr != nil && l.old != nil && !errors.Is(wantErr, cache.ErrNotFound) {
			if !isError(got.Err, wantErr) {
				t.Fatalf("Fetch(%d): stale because of %v, want %v", key, got.Err, wantErr)
			}
			want.Stale, wantErr = true, nil
		}
	}
	if want.Stale {
		want.Value, want.Age = l.old.value, now.Sub(l.old.stored)
	}
	if want.Stale != (got.Err != nil) {
		t.Fatalf("Fetch(%d) = %+v, want %+v", key, got, want)
	}
	got.Err = nil
	if got != want || !isError(err, wantErr) || l.ran != wantLoad {
		t.Fatalf("Fetch(%d) = %+v, %v, loaded: %t; want %+v, %v, %t",
			key, got, err, l.ran, want, wantErr, wantLoad)
	}
}

func (m *model) refresh(t *rapid.T) {
	key := drawKey(t)
	l := m.newLoad(t, key)
	v, err := m.c.Refresh(context.Background(), key, l.fetch(t, m))
	want, wantErr := l.end(t, m, key)
	if v != want || !isError(err, wantErr) || !l.ran {
		t.Fatalf("Refresh(%d) = %d, %v, loaded: %t; want %d, %v", key, v, err, l.ran, want, wantErr)
	}
}

func (m *model) clear(*rapid.T) {
	m.c.Clear()
	m.entries = nil
	clear(m.missing)
}

func (m *model) advance(t *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{1, 100 * time.Millisecond, time.Second,
		10 * time.Second}).Draw(t, "by"))
	synctest.Wait() // for the sweep
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool {
		return !e.expires.IsZero() && !time.Now().Before(e.expires.Add(m.staleFor))
	})
}

func (m *model) check(t *rapid.T) {
	synctest.Wait() // for the callbacks
	got := contents(m.c)
	for _, e := range m.entries {
		v, ttl, ok := m.c.Peek(e.key)
		want := cache.Forever
		if !e.expires.IsZero() {
			want = cmp.Or(time.Until(e.expires), -1)
		}
		if !ok || v != e.value || ttl != want {
			t.Fatalf("Peek(%d) is %d, %v, %t, want %d, %v", e.key, v, ttl, ok, e.value, want)
		}
		v, ok = got[e.key]
		if fresh := m.fresh(e); ok != fresh || ok && v != e.value || m.c.Contains(e.key) != fresh {
			t.Fatalf("holds %v, want %v", got, m.entries)
		}
		delete(got, e.key)
	}
	if len(got) > 0 {
		t.Fatalf("holds %v besides %v", got, m.entries)
	}
	for key := range 9 {
		if _, _, ok := m.c.Peek(key); ok != (m.find(key) >= 0) {
			t.Fatalf("Peek(%d) is %t, want %v", key, ok, m.entries)
		}
	}
	if n := m.c.Len(); n < len(m.entries) || n > m.capacity {
		t.Fatalf("Len is %d with %d entries and capacity %d", n, len(m.entries), m.capacity)
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

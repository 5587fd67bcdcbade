package cachetest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// storagePatience bounds each call of a Storage under test, and the wait for a notice.
const storagePatience = time.Minute

// TestStorage tests an implementation of cache.Storage, and of cache.Notifier if it is one: that
// records come back, that fences hold, that the log has what it must, and who is notified. open is
// called for each of these tests. It returns two values that share one empty storage as two
// processes would, and closes them at the end of the test. They may be the same one, but not for a
// Notifier.
//
// It does not test what a Storage does when what it stores on fails, or hangs.
func TestStorage(t *testing.T, open func(t *testing.T) (a, b cache.Storage)) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, a, b cache.Storage)
	}{
		{"Records", testRecords},
		{"Fences", testFences},
		{"LogBegins", testLogBegins},
		{"LogBeginsWithTag", testLogBeginsWithTag},
		{"Log", testLog},
		{"Notices", testNotices},
		{"ManyCalls", testManyCalls},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := open(t)
			test.run(t, a, b)
		})
	}
}

func readStorage(t *testing.T, s cache.Storage, since uint64, keys ...string) cache.Reading {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), storagePatience)
	defer cancel()
	r, err := s.Read(ctx, keys, since)
	if err != nil {
		t.Fatalf("Read(%q, %d): %v", keys, since, err)
	}
	if len(r.Stored) != len(keys) {
		t.Fatalf("Read(%q) has returned %d results", keys, len(r.Stored))
	}
	for i, stored := range r.Stored {
		if stored.Fence == "" {
			t.Fatalf("Read(%q) has granted no fence", keys[i])
		}
	}
	if r.Now.IsZero() {
		t.Fatal("Read has returned no time")
	}
	return r
}

func writeStorage(t *testing.T, s cache.Storage, key, value, fence string) {
	t.Helper()
	storageCall(t, "Write", func(ctx context.Context) error {
		return s.Write(ctx, []cache.Record{
			{Key: key, Data: []byte(value), Fence: fence, Keep: time.Hour},
		})
	})
}

func storageCall(t *testing.T, name string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), storagePatience)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func deleteStored(t *testing.T, s cache.Storage, keys ...string) {
	t.Helper()
	storageCall(t, "Delete", func(ctx context.Context) error { return s.Delete(ctx, keys) })
}

func invalidateStored(t *testing.T, s cache.Storage, tags ...string) {
	t.Helper()
	storageCall(t, "Invalidate", func(ctx context.Context) error { return s.Invalidate(ctx, tags) })
}

// wantStored fails the test unless s has data for a key. "" stands for no record.
func wantStored(t *testing.T, s cache.Storage, what, key, data string) {
	t.Helper()
	got := readStorage(t, s, 0, key).Stored[0].Data
	if string(got) != data || (got == nil) != (data == "") {
		t.Errorf("after %s: key %q has %q, want %q", what, key, got, data)
	}
}

func testRecords(t *testing.T, a, b cache.Storage) {
	t.Helper()
	keys := []string{"", "k", "with space", "\x00\xff\r\n{}", "é"}
	for _, key := range keys {
		wantStored(t, a, "nothing", key, "")
		writeStorage(t, a, key, "data\x00of "+key, "")
		wantStored(t, b, "a write", key, "data\x00of "+key)
	}
	reversed := slices.Clone(keys)
	slices.Reverse(reversed)
	for i, stored := range readStorage(t, b, 0, reversed...).Stored {
		if string(stored.Data) != "data\x00of "+reversed[i] {
			t.Errorf("Read of many: key %q has %q", reversed[i], stored.Data)
		}
	}
	storageCall(t, "Write", func(ctx context.Context) error {
		return a.Write(ctx, []cache.Record{
			{Key: "empty", Data: []byte{}}, {Key: "for ever", Data: []byte("x")},
		})
	})
	if readStorage(t, b, 0, "empty").Stored[0].Data == nil {
		t.Error("a record without bytes is none")
	}
	deleteStored(t, a, keys[:2]...)
	wantStored(t, b, "a delete", keys[0], "")
	wantStored(t, b, "a delete", keys[1], "")
	wantStored(t, b, "a delete of others", "for ever", "x")
	readStorage(t, a, 0)
	storageCall(t, "Write of nothing", func(ctx context.Context) error { return a.Write(ctx, nil) })
	deleteStored(t, a)
	invalidateStored(t, a)
}

func testFences(t *testing.T, a, b cache.Storage) {
	t.Helper()
	n := 0
	for what, outdate := range map[string]func(key, fence string) (left string){
		"a delete": func(key, _ string) string { deleteStored(t, b, key); return "" },
		"a write": func(key, fence string) string {
			writeStorage(t, b, key, "other", fence)
			return "other"
		},
		"a write without a fence": func(key, _ string) string {
			writeStorage(t, b, key, "other", "")
			return "other"
		},
	} {
		for _, stored := range []bool{false, true} {
			for _, again := range []bool{false, true} {
				n++
				key := fmt.Sprint("key", n)
				if stored {
					writeStorage(t, a, key, "old", "")
				}
				fence := readStorage(t, a, 0, key).Stored[0].Fence
				left := outdate(key, fence)
				if again { // another one reads the key meanwhile
					readStorage(t, b, 0, key)
				}
				writeStorage(t, a, key, "late", fence)
				wantStored(t, b, "a late write behind "+what, key, left)
				writeStorage(t, b, key, "new", readStorage(t, b, 0, key).Stored[0].Fence)
				wantStored(t, a, "a write with the new fence behind "+what, key, "new")
			}
		}
	}
	// A fence is that of a key: what happens to others does not matter.
	fences := readStorage(t, a, 0, "x", "y").Stored
	deleteStored(t, b, "x")
	writeStorage(t, a, "y", "data", fences[1].Fence)
	wantStored(t, b, "a delete of another key", "y", "data")
}

// testLogBegins: the first Read begins the log with the invalidation of everything.
func testLogBegins(t *testing.T, a, b cache.Storage) {
	t.Helper()
	for _, s := range []cache.Storage{a, b} {
		log := readStorage(t, s, 0, "k").Log
		if len(log) != 1 || log[0].Tag != "" || log[0].Version == 0 {
			t.Fatalf("the log of an empty storage is %+v, want the tag \"\" alone", log)
		}
	}
}

// testLogBeginsWithTag: so does an Invalidate that comes first.
func testLogBeginsWithTag(t *testing.T, a, b cache.Storage) {
	t.Helper()
	invalidateStored(t, a, "x")
	log := make(map[string]uint64)
	for _, l := range readStorage(t, b, 0).Log {
		log[l.Tag] = l.Version
	}
	if len(log) != 2 || log[""] == 0 || log["x"] < log[""] {
		t.Fatalf("the log is %+v after the invalidation of \"x\", want \"\" before that", log)
	}
}

func testLog(t *testing.T, a, b cache.Storage) {
	t.Helper()
	newest := func() (i cache.Invalidation) {
		for _, l := range readStorage(t, a, 0).Log {
			if l.Version > i.Version {
				i = l
			}
		}
		return i
	}
	last := newest().Version
	for i, tag := range []string{"x", "y", "x", "", "\x00\xff"} {
		s := []cache.Storage{a, b}[i%2]
		invalidateStored(t, s, tag)
		got := newest()
		if got.Tag != tag || got.Version <= last {
			t.Fatalf("the log ends with %+v (zero: it is empty), want %q with a version above %d", got,
				tag, last)
		}
		last = got.Version
		seen := make(map[string]bool)
		r := readStorage(t, b, last)
		for _, l := range r.Log {
			if l.Version < last || seen[l.Tag] {
				t.Errorf("Read since %d has returned %+v", last, r.Log)
			}
			seen[l.Tag] = true
		}
		if !seen[tag] {
			t.Errorf("Read since %d has not returned %q, which has this version", last, tag)
		}
	}
	deleteStored(t, b, "k")
	writeStorage(t, b, "k", "data", "")
	if got := newest().Version; got != last {
		t.Errorf("a delete and a write have raised the version of the log from %d to %d", last, got)
	}
}

func testNotices(t *testing.T, a, b cache.Storage) {
	t.Helper()
	atA, ok := a.(cache.Notifier)
	if !ok {
		t.Skip("it is no cache.Notifier")
	}
	var mu sync.Mutex // guards the following
	var keys, tags []string
	changed := make(chan struct{}, 1)
	stop := atA.Watch(func(n cache.Notice) {
		mu.Lock()
		defer mu.Unlock()
		keys, tags = append(keys, n.Keys...), append(tags, n.Tags...)
		if n.All {
			t.Error("nothing was lost, and All is reported")
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	deleteStored(t, a, "own")
	invalidateStored(t, a, "own")
	writeStorage(t, b, "filled", "data", readStorage(t, b, 0, "filled").Stored[0].Fence)
	invalidateStored(t, b, "x", "")
	deleteStored(t, b, "k", "", "\x00\xff")
	deleteStored(t, b, "last")
	wantKeys := []string{"", "\x00\xff", "k", "last"}
	late := time.NewTimer(storagePatience)
	defer late.Stop()
	for complete := false; !complete; {
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("notices of keys %q and tags %q alone have come", keys, tags)
		}
		mu.Lock()
		complete = len(tags) >= 2
		for _, key := range wantKeys {
			complete = complete && slices.Contains(keys, key)
		}
		mu.Unlock()
	}
	stop()
	slices.Sort(keys)
	slices.Sort(tags)
	if !slices.Equal(slices.Compact(keys), wantKeys) {
		t.Errorf("notices of keys: %q, want %q", keys, wantKeys)
	}
	if want := []string{"", "x"}; !slices.Equal(slices.Compact(tags), want) {
		t.Errorf("notices of tags: %q, want %q", tags, want)
	}
	deleteStored(t, b, "k") // the race detector reports a call after stop
}

// testManyCalls has many goroutines load and store a key that rises, as caches do, while others
// delete it. What was read before a delete must not be there after it.
func testManyCalls(t *testing.T, a, b cache.Storage) {
	t.Helper()
	var mu sync.Mutex // guards source
	source := 0
	var loaders sync.WaitGroup
	for i := range 8 {
		s := []cache.Storage{a, b}[i%2]
		loaders.Go(func() {
			for range 30 {
				ctx, cancel := context.WithTimeout(t.Context(), storagePatience)
				r, err := s.Read(ctx, []string{"k"}, 0)
				if err == nil && r.Stored[0].Data == nil {
					mu.Lock()
					value := strconv.Itoa(source)
					mu.Unlock()
					err = s.Write(ctx, []cache.Record{
						{Key: "k", Data: []byte(value), Fence: r.Stored[0].Fence},
					})
				}
				cancel()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 30 {
		mu.Lock()
		source++
		want := strconv.Itoa(source)
		mu.Unlock()
		deleteStored(t, a, "k")
		if got := readStorage(t, b, 0, "k").Stored[0].Data; got != nil && string(got) != want {
			t.Errorf("%s was stored after the delete that came before %s", got, want)
		}
	}
	loaders.Wait()
}

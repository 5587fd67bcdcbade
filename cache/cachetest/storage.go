package cachetest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// A Storage is a second level in memory: a cache.Storage for SecondLevel.Storage of package cache.
// Several caches may share one, as processes share a server. Its faults are those of a server and
// of the way to it. It is safe for concurrent use.
type Storage struct {
	mu       sync.Mutex // guards the following
	records  map[string]storedRecord
	fences   map[string]uint64
	log      map[string]uint64
	version  uint64 // of the log; rises for ever
	fence    uint64 // the last one that was granted; rises for ever
	ahead    time.Duration
	fault    StorageFault
	counts   StorageCounts
	watchers map[*notifier]struct{}

	release chan struct{} // closed by Release and at the end of the test
}

type storedRecord struct {
	data []byte
	ends time.Time // zero: never
}

// A StorageFault says what the calls of a Storage do. The zero value is a Storage that works.
type StorageFault struct {
	// Latency is the time that each call takes, if its context does not end before.
	Latency time.Duration

	// Err is returned by each call, after Latency.
	Err error

	// Hangs makes each call wait for Release or the end of the test, whatever its context.
	Hangs bool

	// AfterEffect makes a call fail, or hang, after it has had its effect: its answer is lost.
	AfterEffect bool
}

// StorageCounts holds the numbers of calls of a Storage that have begun.
type StorageCounts struct {
	Reads       int
	ReadKeys    int // of all Reads
	Writes      int
	Deletes     int
	Invalidates int
}

// NewStorage returns an empty Storage. Its calls that hang end at the end of the test. tb may be
// nil, as for New.
//
//nolint:thelper // tb may be nil
func NewStorage(tb testing.TB) *Storage {
	s := &Storage{release: make(chan struct{})}
	s.empty()
	if tb != nil {
		tb.Cleanup(s.Release)
	}
	return s
}

func (s *Storage) empty() {
	s.records, s.fences = make(map[string]storedRecord), make(map[string]uint64)
	s.log = make(map[string]uint64)
}

// SetFault makes all calls from now on behave as f says.
func (s *Storage) SetFault(f StorageFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Release ends the calls that hang. Calls that begin to hang later do so until the next Release.
func (s *Storage) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.release)
	s.release = make(chan struct{})
}

// Counts returns the numbers of calls so far.
func (s *Storage) Counts() StorageCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Lose removes all that is stored, and the log, as a server that restarts without its data.
func (s *Storage) Lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty()
}

// LoseLog removes the log alone.
func (s *Storage) LoseLog() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = make(map[string]uint64)
}

// Put stores data under key, in the place of what is there, as another program might.
func (s *Storage) Put(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[key] = storedRecord{data: data}
}

// Records returns what is stored.
func (s *Storage) Records() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]byte, len(s.records))
	for key, r := range s.records {
		if !r.ended() {
			all[key] = slices.Clone(r.data)
		}
	}
	return all
}

// SetAhead makes the clock of the Storage differ from that of package time.
func (s *Storage) SetAhead(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = d
}

func (r storedRecord) ended() bool { return !r.ends.IsZero() && !time.Now().Before(r.ends) }

// call counts a call, and has the effect, as the fault allows.
func (s *Storage) call(ctx context.Context, count func(*StorageCounts), effect func()) error {
	s.mu.Lock()
	count(&s.counts)
	fault, release := s.fault, s.release
	if fault.AfterEffect {
		effect()
	}
	s.mu.Unlock()
	if fault.Hangs {
		<-release
		return context.DeadlineExceeded
	}
	if fault.Latency > 0 {
		timer := time.NewTimer(fault.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if fault.Err != nil || fault.AfterEffect {
		return fault.Err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	effect()
	return nil
}

// Read implements cache.Storage.
func (s *Storage) Read(
	ctx context.Context, keys []string, since uint64,
) (r cache.Reading, err error) {
	err = s.call(ctx, func(n *StorageCounts) { n.Reads++; n.ReadKeys += len(keys) }, func() {
		r.Now = time.Now().Add(s.ahead)
		r.Stored = make([]cache.Stored, len(keys))
		for i, key := range keys {
			if s.fences[key] == 0 {
				s.renew(key)
			}
			r.Stored[i].Fence = strconv.FormatUint(s.fences[key], 10)
			if stored, ok := s.records[key]; ok && !stored.ended() {
				r.Stored[i].Data = slices.Clone(stored.data)
			}
		}
		s.begin()
		for tag, version := range s.log {
			if version >= since {
				r.Log = append(r.Log, cache.Invalidation{Tag: tag, Version: version})
			}
		}
	})
	return r, err
}

// begin begins the log if there is none. s.mu is held.
func (s *Storage) begin() {
	if len(s.log) == 0 {
		s.version++
		s.log[""] = s.version
	}
}

// renew makes the fence of key another one.
func (s *Storage) renew(key string) {
	s.fence++
	s.fences[key] = s.fence
}

// Write implements cache.Storage.
func (s *Storage) Write(ctx context.Context, records []cache.Record) error {
	return s.call(ctx, func(n *StorageCounts) { n.Writes++ }, func() {
		for _, r := range records {
			if r.Fence != "" && r.Fence != strconv.FormatUint(s.fences[r.Key], 10) {
				continue
			}
			s.renew(r.Key)
			stored := storedRecord{data: slices.Clone(r.Data)}
			if r.Keep > 0 {
				stored.ends = time.Now().Add(r.Keep)
			}
			s.records[r.Key] = stored
		}
	})
}

// Delete implements cache.Storage.
func (s *Storage) Delete(ctx context.Context, keys []string) error {
	return s.delete(ctx, keys, nil)
}

func (s *Storage) delete(ctx context.Context, keys []string, by *notifier) error {
	return s.call(ctx, func(n *StorageCounts) { n.Deletes++ }, func() {
		for _, key := range keys {
			s.renew(key)
			delete(s.records, key)
		}
		s.notify(by, cache.Notice{Keys: keys})
	})
}

// Invalidate implements cache.Storage.
func (s *Storage) Invalidate(ctx context.Context, tags []string) error {
	return s.invalidate(ctx, tags, nil)
}

func (s *Storage) invalidate(ctx context.Context, tags []string, by *notifier) error {
	return s.call(ctx, func(n *StorageCounts) { n.Invalidates++ }, func() {
		s.begin()
		s.version++
		for _, tag := range tags {
			s.log[tag] = s.version
		}
		s.notify(by, cache.Notice{Tags: tags})
	})
}

// Notifier returns the Storage as a cache.Notifier, for one cache. It reports what is deleted and
// invalidated by other ways than itself.
func (s *Storage) Notifier() cache.Notifier { return &notifier{Storage: s} }

type notifier struct {
	*Storage

	mu    sync.Mutex // guards the following, and is held during a call
	calls func(cache.Notice)
}

// Delete implements cache.Storage.
func (n *notifier) Delete(ctx context.Context, keys []string) error {
	return n.delete(ctx, keys, n)
}

// Invalidate implements cache.Storage.
func (n *notifier) Invalidate(ctx context.Context, tags []string) error {
	return n.invalidate(ctx, tags, n)
}

// Watch implements cache.Notifier.
func (n *notifier) Watch(notify func(cache.Notice)) (stop func()) {
	n.calls = notify
	n.Storage.mu.Lock()
	defer n.Storage.mu.Unlock()
	if n.watchers == nil {
		n.watchers = make(map[*notifier]struct{})
	}
	n.watchers[n] = struct{}{}
	return func() {
		n.Storage.mu.Lock()
		delete(n.watchers, n)
		n.Storage.mu.Unlock()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.calls = func(cache.Notice) {}
	}
}

// Notify reports n to all that watch, as after a time in which notices were lost.
func (s *Storage) Notify(n cache.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify(nil, n)
}

// notify calls the others in goroutines, since they may use the Storage. s.mu is held.
func (s *Storage) notify(by *notifier, n cache.Notice) {
	for w := range maps.Clone(s.watchers) {
		if w == by {
			continue
		}
		go func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls(n)
		}()
	}
}

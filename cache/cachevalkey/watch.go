package cachevalkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/cache"
)

const (
	// pollTracked is the time between readings of the log that no announcement has caused. A server
	// may stop announcing without a sign: when the slot of the log moves in a cluster.
	pollTracked = 5 * time.Second

	// pollUntracked is the same for a server, or a proxy, without client-side caching.
	pollUntracked = time.Second

	// watchTimeout bounds a reading of the log.
	watchTimeout = 5 * time.Second

	// The wait after a reading that failed. It doubles up to the longest.
	firstRetry, longestRetry = 20 * time.Millisecond, time.Second

	// promptStart is how long after Watch the first reading may come to be sure what came between.
	promptStart = time.Second
)

// Watch implements cache.Notifier. It uses a connection of its own, on which the server announces
// changes of the log of notices (CLIENT TRACKING in broadcast mode). Each announcement, and each
// loss of the connection, makes it read the log on from where it was. What a Read or a Write stores
// is no change of the log.
//
// The server may be down. If the first contact comes late, or the server has lost the log, or
// dropped entries that were not yet read, notify is called with All. Neither stop nor Close may be
// called from notify.
func (s *Storage) Watch(notify func(cache.Notice)) (stop func()) {
	w := &watcher{
		s: s, notify: notify, began: time.Now(), tracked: true,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(s.life)
	w.connect()
	s.watchers.Go(func() {
		defer close(w.done)
		w.run(ctx)
	})
	return func() {
		cancel()
		<-w.done
	}
}

// A watcher reports what others append to the log of notices.
type watcher struct {
	s       *Storage
	notify  func(cache.Notice)
	conn    *connection
	tracked bool          // the server announces changes
	wake    chan struct{} // holds an element if there is something to read
	done    chan struct{} // closed when run has returned

	began  time.Time // when Watch was called
	placed bool      // last is set
	last   uint64    // the highest version that was read
}

// connect makes a connection, which is not used before the first reading.
func (w *watcher) connect() {
	option := w.s.o.Client
	option.PipelineMultiplex = -1 // one connection to a server
	option.RingScaleEachConn = 4
	option.ReadBufferEachConn, option.WriteBufferEachConn = 1<<14, 1<<14
	if w.tracked {
		option.DisableCache = false
		option.CacheSizeEachConn = 1
		option.ClientTrackingOptions = []string{"BCAST", "PREFIX", w.s.names.notices}
		// It is called with nil for the loss of a connection, too.
		option.OnInvalidations = func([]valkey.ValkeyMessage) {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
	w.conn = newConnection(w.s.life, option)
}

// run reads the log whenever there may be something new, until ctx ends.
func (w *watcher) run(ctx context.Context) {
	defer func() { w.conn.close() }()
	retry := time.Duration(0)
	for {
		err := w.catchUp(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, valkey.ErrNoCache) && w.tracked {
			w.s.o.Logger.Warn("cachevalkey: the server announces no changes: the log is polled",
				slog.Any("error", err))
			w.conn.close()
			w.tracked = false
			w.connect()
			continue
		}
		w.report(err, retry > 0)
		var wait time.Duration
		wake := w.wake
		switch {
		case err != nil:
			retry = min(longestRetry, max(firstRetry, 2*retry))
			wait = retry/2 + rand.N(retry) //nolint:gosec // no secret: spreads the retries
			wake = nil
		case w.tracked:
			retry, wait = 0, w.s.pollEvery
		default:
			retry, wait = 0, pollUntracked
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// report logs the beginning and the end of a time in which the log can't be read.
func (w *watcher) report(err error, failing bool) {
	switch log := w.s.o.Logger; {
	case err != nil && !failing:
		log.Warn("cachevalkey: what others delete can't be read", slog.Any("error", err))
	case err == nil && failing:
		log.Info("cachevalkey: what others delete can be read again")
	}
}

// catchUp reads the log and reports what is new.
func (w *watcher) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	log, err := w.read(ctx, w.last)
	if err != nil {
		return err
	}
	if !w.placed {
		w.start(log)
		return nil
	}
	// An entry with the version last is still there, or has a higher version now, or was dropped.
	if log.top < w.last {
		if log, err = w.read(ctx, 0); err != nil {
			return err
		}
		w.last = log.top
		w.notify(cache.Notice{All: true})
		return nil
	}
	since := w.last
	w.last = log.top
	if log.began > since || log.forgotten > since {
		w.notify(cache.Notice{All: true})
		return nil
	}
	w.tell(log, since+1)
	return nil
}

// start processes the first reading, which has the whole log. Reported is what was appended since
// Watch was called: the version of an entry is the time at which it was appended, or more.
func (w *watcher) start(log logReading) {
	w.placed, w.last = true, log.top
	elapsed := time.Since(w.began)
	since := log.now.Add(-elapsed).UnixMicro()
	if elapsed > promptStart || since < 0 || log.forgotten >= uint64(since) {
		w.notify(cache.Notice{All: true})
		return
	}
	w.tell(log, uint64(since))
}

func (w *watcher) read(ctx context.Context, since uint64) (logReading, error) {
	s := w.s
	log := []string{s.names.notices}
	args := []string{decimal(since), decimal(max(s.seen.Load(), w.last))}
	r, err := call(ctx, w.conn, func(ctx context.Context, c valkey.Client) (logReading, error) {
		reply := c.Do(ctx, readLog.brief(c.B(), log, args...))
		if isNoScript(reply.Error()) {
			reply = c.Do(ctx, readLog.full(c.B(), log, args...))
		}
		return parseLogResult(reply)
	})
	if err != nil {
		return r, fmt.Errorf("watch: %w", err)
	}
	s.raise(r.top)
	return r, nil
}

// tell reports the entries of others with a version of since or more.
func (w *watcher) tell(log logReading, since uint64) {
	var n cache.Notice
	named := make(map[logEntry]bool)
	for _, e := range log.entries {
		if e.version < since || len(e.text) < idSize || e.text[:idSize] == w.s.origin {
			continue
		}
		name := logEntry{kind: e.kind, text: e.text[idSize:]}
		if named[name] {
			continue
		}
		named[name] = true
		if e.kind == tagEntry {
			n.Tags = append(n.Tags, name.text)
		} else {
			n.Keys = append(n.Keys, name.text)
		}
	}
	if len(named) > 0 {
		w.notify(n)
	}
}

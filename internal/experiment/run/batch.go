package run

import (
	"context"
	"errors"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/internal/verdict"
)

// loadMany loads keys for the cache, and notes for which call. An error of single keys is theirs
// alone.
func (r *run) loadMany(ctx context.Context, missing []uint64) (map[uint64][]byte, error) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.ran.Store(true)
		c.mu.Lock()
		c.missing = append(c.missing, missing...)
		c.mu.Unlock()
	}
	values, failed, err := r.origin.LoadMany(ctx, missing)
	if len(failed) > 0 {
		return values, &cache.ManyError[uint64]{ByKey: failed}
	}
	return values, err
}

// fill draws the keys of a batch that begins with key. It has fewer if there are no more.
func (w *worker) fill(key uint64) {
	w.batch = append(w.batch[:0], key)
	for len(w.batch) < w.run.batch {
		key, ok := w.keys.Next()
		if !ok {
			return
		}
		w.batch = append(w.batch, key)
	}
}

// addBatch counts the keys of the batch, for which FetchMany returned err, by outcome.
func (w *worker) addBatch(c *call, err error) {
	w.tally.keys.Add(uint64(len(w.batch)))
	c.mu.Lock()
	defer c.mu.Unlock()
	loaded, failed := len(c.missing), 0
	if err != nil {
		errorOf := byKey(err)
		for _, key := range w.batch {
			if err := errorOf(key); err != nil {
				failed++
				w.fail(verdict.Of(err))
			}
		}
		for _, key := range c.missing {
			if errorOf(key) != nil {
				loaded--
			}
		}
	}
	if loaded+failed > 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.loaded += uint64(loaded) //nolint:gosec // not negative
		w.failed += uint64(failed) //nolint:gosec // not negative
	}
}

// byKey returns a function that returns the error of a key.
func byKey(err error) func(key uint64) error {
	var many *cache.ManyError[uint64]
	if !errors.As(err, &many) {
		return func(uint64) error { return err }
	}
	return func(key uint64) error { return many.ByKey[key] }
}

// keys returns the counts of the keys of batches by outcome. The cache has counted the hits.
func (r *run) keys(all *tally, hits uint64, elapsed time.Duration) *Keys {
	k := &Keys{Asked: all.keys.Load(), Loaded: all.loaded, Failed: all.failed}
	if elapsed > 0 {
		k.PerSecond = float64(k.Asked) / elapsed.Seconds()
	}
	// The hits of batches that were under way when the measured part began, or were cut off, are
	// counted though their keys are not.
	k.Hit = min(hits, k.Asked-min(k.Asked, k.Loaded+k.Failed))
	k.Joined = k.Asked - min(k.Asked, k.Hit+k.Loaded+k.Failed)
	return k
}

package cachefile

import (
	"context"
	"time"

	"github.com/snowfence/snowfence/cache"
)

// Keep calls Save every interval until ctx ends. Then it gives up a Save that is under way, and
// saves once more, with a context that does not end with ctx. So a program saves at its shutdown,
// and loses little if it is killed. Keep blocks, and returns the error of that last Save. One that
// failed before is tried again an interval later; Options.OnSave gets each result. The errors of
// wrong options are returned at once.
//
// Begin it after Load has returned: until then a Save would replace a full file by that of a cold
// cache. Close the cache after Keep has returned. If the cache is closed before, no file is
// written, and Keep returns cache.ErrClosed.
func Keep[K comparable, V any](
	ctx context.Context, c *cache.Cache[K, V], path string, every time.Duration, o Options[K, V],
) error {
	if every <= 0 {
		return &OptionError{"every", every, "a time above 0"}
	}
	if err := check(c, path, &o); err != nil {
		return err
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	save := func(ctx context.Context) error {
		saved, err := Save(ctx, c, path, o)
		if o.OnSave != nil {
			o.OnSave(saved, err)
		}
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return save(context.WithoutCancel(ctx))
		case <-ticker.C:
			if ctx.Err() == nil {
				_ = save(ctx) // OnSave gets the error
			}
		}
	}
}

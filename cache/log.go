package cache

import (
	"log/slog"
	"time"
)

// The kinds of events that the cache logs itself. Its courier logs others.
const (
	eventStale = iota
	eventSecondLevel
	eventSecondLevelBack
	eventUnwritable
	numEvents
)

// logStale logs that the stale value of e was given because of err.
func (c *Cache[K, V]) logStale(e *entry[K, V], err error) {
	ok, suppressed := c.log.Allow(eventStale)
	if !ok {
		return
	}
	key, age := e.key, c.age(e)
	c.log.Add(eventStale, suppressed, slog.LevelWarn, "a stale value was given",
		func(*slog.Logger) []slog.Attr {
			return []slog.Attr{
				slog.String("courier", c.courier.Name()), slog.String("key", c.courier.KeyText(key)),
				slog.Duration("age", age.Round(time.Millisecond)), slog.Any("error", err),
			}
		})
}

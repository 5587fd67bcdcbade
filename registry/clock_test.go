package registry

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A node whose clock is an hour ahead says so, and does not win every conflict of the next hour.
func TestClockAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		var log bytes.Buffer
		a, err := open(t.Context(), Config{
			NodeName: "a", Partitions: 4, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}, func(r *Registry) (network, error) {
			r.wall = func() int64 { return time.Now().Add(time.Hour).UnixNano() }
			return lan.connect(r)
		})
		require.NoError(t, err)
		w := a.Watch(t.Context())
		ga, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		require.Greater(t, time.Until(ga.Claim().Time.Time()), 59*time.Minute)
		b, _ := lan.open(t, "b")
		lan.open(t, "c")
		time.Sleep(10 * time.Second)

		require.Contains(t, takenAll(w), "clock ahead")
		require.LessOrEqual(t, time.Until(ga.Claim().Time.Time()), DefaultMaxClockSkew)
		c := a.Stats().Clock
		require.Equal(t, uint64(1), c.Clamps)
		require.Equal(t, time.Hour-DefaultMaxClockSkew, c.Ahead)
		claim, ok := b.Lookup("x")
		require.True(t, ok)
		require.Equal(t, ga.Claim(), claim)
		require.NoError(t, a.Close())
		require.Contains(t, log.String(), "level=WARN msg=\"the clock of this node is too far ahead")
	})
}

func TestLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		var info, debug bytes.Buffer
		a, _ := lan.open(t, "a", func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&info, nil)) })
		b, _ := lan.open(t, "b", func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&debug, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		lan.split(a, b)
		for _, r := range []*Registry{a, b} {
			for _, name := range []string{"x", "y", "z"} {
				_, err := r.Register(t.Context(), name, nil)
				require.NoError(t, err)
			}
			time.Sleep(time.Second)
		}
		lan.heal(a, b)
		time.Sleep(10 * time.Second)
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
		require.Contains(t, info.String(), `msg="registry is open" node=a addr=a:1`)
		require.Contains(t, info.String(), `msg="conflicts were settled" node=a conflicts=3 "lost here"=3`)
		require.NotContains(t, info.String(), "registered", "each change is for level Debug")
		require.Contains(t, debug.String(), `msg="registered \"x\" on b"`)
		require.Contains(t, debug.String(), `msg="conflict over \"x\": b won over a"`)
	})
}

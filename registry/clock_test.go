package registry

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/registry/internal/wire"
)

// A node whose clock is an hour ahead reports it, and does not win every conflict of the next hour.
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
		time.Sleep(2 * time.Minute) // idle nodes compare with one at random, every other second

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
		resolved := 0 // in one line, or in two if they were seen at different times
		for _, n := range regexp.MustCompile(
			`resolved" node=a conflicts=(\d) "lost here"=(\d)`).FindAllStringSubmatch(info.String(), -1) {
			require.Equal(t, n[1], n[2])
			resolved += int(n[1][0] - '0')
		}
		require.Equal(t, 3, resolved, info.String())
		require.NotContains(t, info.String(), "registered", "each change is for level Debug")
		require.Contains(t, debug.String(), `msg="registered \"x\" on b"`)
		require.Contains(t, debug.String(), `msg="conflict over \"x\": b won over a"`)
	})
}

// A node that was paused receives frames as old as its pause. It must not consider its own clock
// ahead.
func TestAPausedNodeDoesNotTakeItsClockForAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, _ := lan.open(t, "a")
		b, _ := lan.open(t, "b")
		lan.open(t, "c")
		time.Sleep(10 * time.Second)
		w := a.Watch(t.Context())
		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		before := g.Claim()
		for i := range 50 { // frames of the last half minute that waited in the socket
			sent := b.wall() - int64(30*time.Second) + int64(i)*int64(time.Second/2)
			for _, from := range []string{"b", "c"} {
				handler{a}.Frame(&wire.Frame{From: from, Incarnation: b.incarnation, Sent: sent}, 0)
			}
		}
		time.Sleep(20 * time.Second)
		require.NotContains(t, takenAll(w), "clock ahead")
		require.Zero(t, a.Stats().Clock.Clamps)
		require.Equal(t, before, g.Claim())
	})
}

// No watcher on any node gets an Unregistered when a claim gets a new timestamp.
func TestAClaimThatIsStampedAnewIsUpdated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lan := newLAN()
		a, err := open(t.Context(), Config{NodeName: "a", Partitions: 4},
			func(r *Registry) (network, error) {
				r.wall = func() int64 { return time.Now().Add(time.Hour).UnixNano() }
				return lan.connect(r)
			})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, a.Close()) })
		g, err := a.Register(t.Context(), "x", nil)
		require.NoError(t, err)
		b, _ := lan.open(t, "b")
		here, there := a.Watch(t.Context(), WatchNames("x")), b.Watch(t.Context(), WatchNames("x"))
		was := g.Claim()
		time.Sleep(20 * time.Second)
		require.Negative(t, g.Claim().Time.Compare(was.Time))
		require.Equal(t, []string{`updated "x" on a`}, takenAll(here))
		require.Equal(t, []string{`updated "x" on a`}, takenAll(there))
		require.NoError(t, g.Context().Err())
	})
}

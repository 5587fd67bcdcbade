package progress_test

import (
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/progress"
)

// screen is a one-line terminal: it keeps the visible text.
type screen struct {
	mu    sync.Mutex
	width int
	cells []rune
	at    int
	raw   strings.Builder
	wraps int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(p)
	for _, r := range string(p) {
		if r == '\r' {
			s.at = 0
			continue
		}
		if s.at >= s.width {
			s.wraps++
			s.at = 0
		}
		for len(s.cells) <= s.at {
			s.cells = append(s.cells, ' ')
		}
		s.cells[s.at] = r
		s.at++
	}
	return len(p), nil
}

func (s *screen) text() string { return strings.TrimRight(string(s.cells), " ") }

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func live(width int) (*progress.Line, *screen, *clock) {
	s, c := &screen{width: width}, &clock{t: time.Unix(100, 0)}
	return progress.New(s, progress.Options{
		Enabled: true, Width: func() int { return width }, Now: c.now,
	}), s, c
}

func TestLineIsDrawnInPlaceAndCleared(t *testing.T) {
	l, s, c := live(80)
	l.Start("fix off")
	assert.Contains(t, s.text(), "fix off ░")
	assert.Contains(t, s.text(), "  0 %")
	l.Update(0.5, "queue 1,024, blocked 40")
	assert.Contains(t, s.text(), " 50 %  queue 1,024, blocked 40")
	c.t = c.t.Add(time.Second)
	l.Update(0.75, "short")
	assert.True(t, strings.HasSuffix(s.text(), " 75 %  short"), "rest of the longer text: %q",
		s.text())
	l.Start("fix on")
	assert.NotContains(t, s.text(), "off")
	l.Done()
	assert.Empty(t, s.text())
	before := s.raw.Len()
	l.Update(1, "late")
	l.Done()
	assert.Equal(t, before, s.raw.Len(), "written after Done")
	assert.NotContains(t, s.raw.String(), "\x1b")
	assert.NotContains(t, s.raw.String(), "\n")
}

func TestSilentUnlessEnabled(t *testing.T) {
	s := &screen{width: 80}
	l := progress.New(s, progress.Options{})
	l.Start("x")
	l.Update(1, "y")
	l.Done()
	assert.Empty(t, s.raw.String())

	f, err := os.CreateTemp(t.TempDir(), "err")
	require.NoError(t, err)
	defer func() { assert.NoError(t, f.Close()) }()
	l = progress.ForFile(f, false)
	l.Start("x")
	l.Update(1, "y")
	l.Done()
	info, err := f.Stat()
	require.NoError(t, err)
	assert.Zero(t, info.Size())
}

func TestRedrawsAreLimited(t *testing.T) {
	l, s, c := live(80)
	l.Start("")
	l.Update(0.1, "first")
	before := s.raw.Len()
	c.t = c.t.Add(99 * time.Millisecond)
	l.Update(0.2, "too soon")
	assert.Equal(t, before, s.raw.Len())
	l.Update(1, "end")
	assert.Contains(t, s.text(), "100 %  end")
	c.t = c.t.Add(time.Second)
	l.Update(0.3, "later")
	assert.Contains(t, s.text(), "later")
}

func TestLongTextNeverWraps(t *testing.T) {
	for _, width := range []int{1, 2, 10, 40, 79} {
		l, s, _ := live(width)
		l.Start("a label that is rather long")
		l.Update(0.5, strings.Repeat("long\n", 50))
		assert.Zero(t, s.wraps, "width %d", width)
		l.Done()
		assert.Zero(t, s.wraps)
		assert.Empty(t, s.text())
	}
}

func TestOddFractions(t *testing.T) {
	for _, f := range []float64{-1, 2, math.NaN(), math.Inf(1), math.Inf(-1)} {
		l, _, _ := live(80)
		l.Start("x")
		assert.NotPanics(t, func() { l.Update(f, "") })
	}
}

func TestConcurrentUse(t *testing.T) {
	s := &screen{width: 80}
	l := progress.New(s, progress.Options{Enabled: true})
	l.Start("run")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				l.Update(float64(i)/50, "busy")
			}
		})
	}
	wg.Wait()
	l.Done()
	assert.Empty(t, s.text())
}

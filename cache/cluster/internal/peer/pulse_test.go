package peer

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// cutOff is a ResponseWriter that records whether its deadline for writing has passed.
type cutOff struct {
	http.ResponseWriter
	is atomic.Bool
}

func (c *cutOff) SetReadDeadline(time.Time) error { return nil }

func (c *cutOff) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		c.is.Store(true)
	}
	return nil
}

// A load that ends at the moment of a life sign does not have its answer cut off.
func TestAnswerAtALifeSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const silence = time.Minute
		for range 10_000 {
			w := &cutOff{ResponseWriter: httptest.NewRecorder()}
			p := newPulse(w, silence)
			p.read()
			p.work(silence)
			time.Sleep(silence / 4)
			p.answer()
			synctest.Wait()
			p.stop()
			require.False(t, w.is.Load())
		}
	})
}

// An asker that does not take the answer has it cut off in the end.
func TestAnswerThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &cutOff{ResponseWriter: httptest.NewRecorder()}
		p := newPulse(w, time.Minute)
		p.read()
		p.work(time.Minute)
		p.answer()
		time.Sleep(p.partTimeout - time.Nanosecond)
		synctest.Wait()
		require.False(t, w.is.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, w.is.Load())
		p.stop()
	})
}

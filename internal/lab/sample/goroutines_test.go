package sample

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A goroutine that ends in time is not left, and one that stays is.
func TestGoroutinesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		go time.Sleep(500 * time.Millisecond)
		assert.Zero(t, GoroutinesLeft(before))
		go time.Sleep(time.Minute)
		assert.Equal(t, 1, GoroutinesLeft(before))
		time.Sleep(time.Minute) // it ends, too
	})
}

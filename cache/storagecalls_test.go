package cache

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Calls that are late at the same time count as one, so a pause of the storage does not take it for
// down. As many that are late one after the other do.
func TestCallsThatAreLateTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStorageCalls(time.Second, func(error) {}, func() {})
		defer s.close(t.Context())
		late := func() {
			call, err := s.start(t.Context(), func(context.Context) error {
				time.Sleep(100 * time.Millisecond)
				return nil
			})
			require.NoError(t, err)
			require.False(t, call.wait(t.Context(), 50*time.Millisecond))
		}
		for range storageTrips - 1 {
			var calls sync.WaitGroup
			for range 64 {
				calls.Go(late)
			}
			calls.Wait()
		}
		late()
		_, err := s.start(t.Context(), func(context.Context) error { return nil })
		require.ErrorIs(t, err, errStorageDown)
		time.Sleep(2 * storageRest)
		require.NoError(t, s.do(t.Context(), func(context.Context) error { return nil }))
		time.Sleep(time.Second)
	})
}

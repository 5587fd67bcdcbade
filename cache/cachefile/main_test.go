package cachefile_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childVariable); child != "" {
		runChild(child)
	}
	goleak.VerifyTestMain(m)
}

// newCache returns a cache that is closed at the end of the test.
func newCache[K comparable, V any](tb testing.TB, o cache.Options[K, V]) *cache.Cache[K, V] {
	tb.Helper()
	c, err := cache.New(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return c
}

// tempPath returns the path of a file that does not exist, alone in its folder.
func tempPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "cache.snow")
}

// save saves c, of which all has to be saved, and returns the file.
func save[K comparable, V any](
	tb testing.TB, c *cache.Cache[K, V], path string, o cachefile.Options[K, V],
) []byte {
	tb.Helper()
	saved, err := cachefile.Save(context.Background(), c, path, o)
	require.NoError(tb, err)
	require.NoError(tb, saved.Err)
	require.Zero(tb, saved.Left+saved.Failed)
	file, err := os.ReadFile(path)
	require.NoError(tb, err)
	require.EqualValues(tb, len(file), saved.Bytes)
	return file
}

// load loads a whole file.
func load[K comparable, V any](
	tb testing.TB, c *cache.Cache[K, V], path string, o cachefile.Options[K, V],
) cachefile.Loaded {
	tb.Helper()
	loaded, err := cachefile.Load(context.Background(), c, path, o)
	require.NoError(tb, err)
	require.NoError(tb, loaded.Err)
	return loaded
}

// contents returns the entries that All yields.
func contents[K comparable, V any](c *cache.Cache[K, V]) map[K]V {
	all := make(map[K]V)
	for k, v := range c.All() {
		all[k] = v
	}
	return all
}

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package cachefile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachefile"
)

// generation fills a cache with n values that name their generation.
func generation(c *cache.Cache[string, string], name string, n int) {
	for i := range n {
		c.Set(strconv.Itoa(i), fmt.Sprintf("%s %d", name, i))
	}
}

// requireGeneration checks that the file at path is whole, and all of its values are of a
// generation.
func requireGeneration(tb testing.TB, path, name string, n int) {
	tb.Helper()
	c := newCache(tb, cache.Options[string, string]{})
	require.Equal(tb, n, load(tb, c, path, texts{}).Entries)
	for k, v := range c.All() {
		require.Equal(tb, name+" "+k, v)
	}
}

// The test starts its own program as a child, with a path, where to die, and a path again in this
// variable.
const childVariable = "CACHEFILE_TEST_CHILD"

// runChild saves a cache, and kills its own process at a place: a number of bytes or a step.
func runChild(arguments string) {
	place, path, _ := strings.Cut(arguments, " ")
	c, err := cache.New(cache.Options[string, string]{})
	if err != nil {
		panic(err)
	}
	generation(c, "new", killEntries)
	o := cachefile.WithTrace(texts{}, func(step string) {
		if step == place {
			kill()
		}
	})
	if n, err := strconv.ParseInt(place, 10, 64); err == nil {
		o = cachefile.WithWriter(o, func(w io.Writer) io.Writer { return &killer{w, n} })
	}
	if _, err := cachefile.Save(context.Background(), c, path, o); err != nil {
		panic(err)
	}
	os.Exit(0)
}

const killEntries = 9000

func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// A killer kills the process once left bytes are written.
type killer struct {
	io.Writer
	left int64
}

func (k *killer) Write(b []byte) (int, error) {
	if int64(len(b)) < k.left {
		k.left -= int64(len(b))
		return k.Writer.Write(b)
	}
	if _, err := k.Writer.Write(b[:k.left]); err != nil {
		panic(err)
	}
	kill()
	return 0, nil
}

// A process that is killed while it saves, at whatever byte or step, leaves the older file whole
// or, once the new one is in its place, the new one. The next Save removes what it has left.
func TestKill(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	path := tempPath(t)
	c := newCache(t, cache.Options[string, string]{})
	generation(c, "new", killEntries)
	length := len(save(t, c, path, texts{}))
	require.Greater(t, length, 100_000, "some blocks")

	places := []string{"written", "synced", "renamed", "0", "1", "12", "13", strconv.Itoa(length)}
	for n := 100 / step(10); n > 0; n-- {
		places = append(places, strconv.Itoa(r.IntN(length)))
	}
	program, err := os.Executable()
	require.NoError(t, err)
	for _, place := range places {
		old := newCache(t, cache.Options[string, string]{})
		generation(old, "old", 300)
		save(t, old, path, texts{})
		require.Equal(t, []string{filepath.Base(path)}, names(t, filepath.Dir(path)), "leftovers")

		child := exec.CommandContext(t.Context(), program)
		child.Env = append(os.Environ(), childVariable+"="+place+" "+path)
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, "killed at %s: %s", place, out)
		status, ok := exit.Sys().(syscall.WaitStatus)
		require.True(t, ok && status.Signaled(), "%s: %s", place, out)
		require.Equal(t, syscall.SIGKILL, status.Signal(), "%s: %s", place, out)

		if place == "renamed" {
			requireGeneration(t, path, "new", killEntries)
			continue
		}
		requireGeneration(t, path, "old", 300)
		require.Len(t, names(t, filepath.Dir(path)), 2, "killed at %s", place)
	}
}

var errFull = errors.New("no space left on device")

// A full disk is like a kill, at every byte, and leaves nothing.
func TestWriteFails(t *testing.T) {
	path := tempPath(t)
	c := newCache(t, cache.Options[string, string]{})
	generation(c, "old", 20)
	before := save(t, c, path, texts{})
	generation(c, "new", 20)
	for n := range before {
		o := cachefile.WithWriter(texts{}, func(w io.Writer) io.Writer { return &failing{w, n} })
		_, err := cachefile.Save(t.Context(), c, path, o)
		require.ErrorIs(t, err, errFull)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
	require.Len(t, names(t, filepath.Dir(path)), 1)
}

// A failing writes left bytes, and then fails.
type failing struct {
	io.Writer
	left int
}

func (f *failing) Write(b []byte) (int, error) {
	if len(b) <= f.left {
		f.left -= len(b)
		return f.Writer.Write(b)
	}
	n, _ := f.Writer.Write(b[:f.left])
	f.left = 0
	return n, errFull
}

// A Save removes what killed processes have left, but neither the file that another one is writing
// nor files with names like these.
func TestLeftovers(t *testing.T) {
	path := tempPath(t)
	folder, base := filepath.Dir(path), filepath.Base(path)
	left := filepath.Join(folder, "."+base+".123.tmp")
	others := []string{
		"." + base + ".x.tmp", "." + base + "..tmp", "." + base + ".tmp", "." + base + ".1.2.tmp",
		base + ".1.tmp", "." + base + ".1.tmp2", ".other.1.tmp",
	}
	for _, name := range others {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), nil, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(folder, "."+base+".2.tmp"), 0o700))
	require.NoError(t, os.WriteFile(left, []byte("left"), 0o600))

	c := newCache(t, cache.Options[string, string]{})
	generation(c, "v", 10)
	_, err := cachefile.Save(t.Context(), c, path, cachefile.WithTrace(texts{}, func(step string) {
		if step == "written" { // another Save, while this one is under way
			generation(c, "w", 10)
			save(t, c, path, texts{})
			requireGeneration(t, path, "w", 10)
		}
	}))
	require.NoError(t, err)
	requireGeneration(t, path, "v", 10)
	require.NoFileExists(t, left)
	require.Len(t, names(t, folder), len(others)+2)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snowfence/snowfence/internal/leak"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	// A process of a library is this program.
	if len(os.Args) == 2 && strings.HasSuffix(os.Args[1], "-child") {
		os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	leak.Main(m)
}

func cachebench(t *testing.T, line string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = execute(t.Context(), strings.Fields(line), &o, &e)
	return code, o.String(), e.String()
}

const short = "snowball --rate 200 --workers 4 --duration 1s --ttl 100ms --fault-share 0 "

// Each library has a column, also one whose process ends.
func TestAgainst(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := cachebench(t, short+"--out "+dir)
	require.Zero(t, code, "%s%s", stdout, stderr)
	for _, l := range libraries {
		assert.Contains(t, stdout, l.name)
	}
	assert.Regexp(t, `singleflight-dochan: its process ended after [\d.]+ .?s: panic: origin: injected fault`,
		strings.ReplaceAll(stdout, "\n", " "))
	assert.NotContains(t, stdout, "otter: its process ended", "its panic reaches a caller, who recovers")

	text, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	var r struct {
		Params struct{ Against string }
		Result struct {
			Libraries []struct {
				Fix     string
				End     string
				Offered int
				Print   string `json:"fingerprint"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &r))
	require.Len(t, r.Result.Libraries, len(libraries)+1)
	ours := r.Result.Libraries[len(libraries)]
	assert.Equal(t, "Snowfence", ours.Fix)
	for _, l := range r.Result.Libraries {
		if l.End != "" {
			continue
		}
		assert.Equal(t, ours.Print, l.Print, "%s: the same events", l.Fix)
		assert.Equal(t, 200, l.Offered, l.Fix)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	assert.Contains(t, string(page), "its process ended after")
}

// The keys of a trace are those that a process asks for.
func TestAgainstATrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.keys")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("the only key\n", 50)), 0o600))
	code, stdout, stderr := cachebench(t, short+"--json --fault none --against otter --fault-keys 1 "+
		"--trace "+path)
	require.Zero(t, code, "%s%s", stdout, stderr)
	var r struct {
		Result struct {
			Libraries []struct {
				Share float64 `json:"failing_share"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.Len(t, r.Result.Libraries, 2)
	for _, l := range r.Result.Libraries {
		assert.InDelta(t, 1, l.Share, 0, "all requests are for the one key")
	}
}

func TestAgainstRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"--against olric":       `--against: must be one of singleflight-do, `,
		"--against otter,otter": "--against: otter stands there twice",
		"--stale":               "--stale: must be false, since other libraries have no stale values",
		"--check":               "--against: must be without --check: nothing is expected of other libraries",
		"--ttl 0s":              "--ttl: must be above 0s for sturdyc and groupcache, got 0s",
		"--duration 1ms":        "--duration: must be from 800ms to 24h, got 1ms",
	} {
		code, _, stderr := cachebench(t, "snowball "+line)
		assert.Equal(t, 2, code, line)
		assert.Contains(t, stderr, want, line)
	}
}

func TestHelp(t *testing.T) {
	code, stdout, _ := cachebench(t, "help snowball libraries")
	assert.Zero(t, code)
	for _, l := range libraries {
		assert.Contains(t, strings.Join(strings.Fields(stdout), " "), l.name+" "+l.what)
	}
}

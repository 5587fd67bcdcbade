package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childArgument { // a server's process is this program
		if err := command(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.Cleanup(func(code int) {
			if dir, err := folder(); err == nil {
				_ = os.RemoveAll(dir)
			}
			os.Exit(code)
		}))
}

// run calls the program with a command line, whose words are separated by spaces.
func run(t *testing.T, line string) (stdout, stderr string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	err = command(t.Context(), strings.Fields(line), nil, &o, &e)
	return o.String(), e.String(), err
}

const short = "-warm-up 200ms -duration 500ms -ttl 1h -timeout 1m -connections 50 "

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	jsonPath, charts := filepath.Join(dir, "service.json"), filepath.Join(dir, "charts")
	stdout, stderr, err := run(t, short+"-rounds 2 -rates 200,400 -libs none,snowfence,otter "+
		"-slow-share 0 -fail-share 0 "+
		"-json "+jsonPath+" -svg "+charts)
	require.NoError(t, err)
	assert.Contains(t, stderr, "round 2 of 2, 400/s")
	for _, text := range []string{"200/s", "snowfence", "otter", "Medians of 2 rounds"} {
		assert.Contains(t, stdout, text)
	}
	for line := range strings.Lines(stdout) {
		assert.LessOrEqual(t, len([]rune(line)), 101, line)
	}

	text, err := os.ReadFile(jsonPath)
	require.NoError(t, err)
	var r result
	require.NoError(t, json.Unmarshal(text, &r))
	assert.GreaterOrEqual(t, len(r.Cells), 2*3)
	for _, c := range r.Cells {
		if c.Saturated { // the machine is busy
			continue
		}
		assert.Zero(t, c.Errors, "%+v", c)
		assert.Positive(t, c.Heap, "%+v", c)
		if runtime.GOOS == "linux" {
			assert.Positive(t, c.CPU, "%+v", c)
			assert.Greater(t, c.RSS, c.Heap, "%+v", c)
		}
		assert.LessOrEqual(t, c.P50, c.P99)
		assert.LessOrEqual(t, c.P99, c.P999)
		if c.Library == "none" {
			assert.InDelta(t, 1, float64(c.Queries), 0.1, "%+v", c)
		} else {
			assert.Zero(t, c.Queries, "each row is stored before: %+v", c)
		}
	}
	again, _, err := run(t, "-from "+jsonPath)
	require.NoError(t, err)
	assert.Equal(t, stdout, again)

	for _, name := range []string{"service-p99.svg", "service-p99.9.svg"} {
		requireXML(t, filepath.Join(charts, name))
	}
}

// requireXML fails unless path is well-formed XML.
func requireXML(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	for d := xml.NewDecoder(file); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, path)
	}
}

func TestMarkdown(t *testing.T) {
	stdout, _, err := run(t, short+"-rounds 1 -rates 200 -libs snowfence -markdown")
	require.NoError(t, err)
	assert.Contains(t, stdout, "| 99th percentile | 200/s |")
	assert.Contains(t, stdout, "| snowfence | ")
}

// What was measured is shown if the run is stopped.
func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	progress := writerFunc(func(b []byte) (int, error) {
		if strings.Contains(string(b), "400/s") {
			cancel()
		}
		return len(b), nil
	})
	err := command(ctx, strings.Fields(short+"-rates 200,400 -libs snowfence"), nil, &out, progress)
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, out.String(), "200/s")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"-libs olric":               `-libs: "olric": want some of none,snowfence,`,
		"-libs otter,otter":         `-libs: "otter": want each library once`,
		"-rates 2000,1000":          "-rates: 2000,1000: want rising numbers",
		"-rates fast":               "-rates: fast: want rising numbers",
		"-rounds 0":                 "-rounds: 0: want 1 to 1000",
		"-duration 1ms":             "-duration: 1ms: want 100ms to 1h",
		"-rates 10 -duration 5s":    "-duration: 5s: want 100 requests or more at 10/s",
		"-warm-up -1s":              "-warm-up: -1s: want 0s to 1h",
		"-ttl 0s":                   "-ttl: 0s: want 10ms to 1h",
		"-timeout 0s":               "-timeout: 0s: want 1ms to 1h",
		"-slow -1s":                 "-slow: -1s: want 0s to 1h",
		"-slow-share NaN":           "-slow-share: NaN: want a share from 0 to 1",
		"-fail-share 2":             "-fail-share: 2: want a share from 0 to 1",
		"-connections 0":            "-connections: 0: want 1 to 20000",
		"-from nowhere.json":        "-from: nowhere.json: want a file that exists",
		"-json nowhere/at/all.json": "-json: nowhere/at/all.json: want a file in a folder that exists",
		"otter":                     `"otter" is not a flag; libraries are given with -libs`,
		"-no-such":                  "flag provided but not defined",
	} {
		_, _, err := run(t, line)
		require.ErrorIs(t, err, cli.ErrUsage, line)
		assert.ErrorContains(t, err, want, line)
	}
}

func TestHelp(t *testing.T) {
	_, stderr, err := run(t, "-h")
	require.ErrorIs(t, err, flag.ErrHelp)
	for i := range libraries {
		assert.Contains(t, stderr, libraries[i].name+" ")
		assert.Contains(t, stderr, libraries[i].what)
	}
}

func TestFromNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "empty.json")
	require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
	_, _, err := run(t, "-from "+path)
	require.ErrorIs(t, err, errNoResult)
	_, _, err = run(t, "-from "+path+" -svg "+path)
	require.ErrorIs(t, err, cli.ErrUsage, "a file is no folder")
}

func TestQuick(t *testing.T) {
	o, err := parse([]string{"-quick"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, 1, o.rounds)
	assert.Equal(t, 500*time.Millisecond, o.duration)
}

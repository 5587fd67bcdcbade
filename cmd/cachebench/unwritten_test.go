package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lateFullDisk is a folder that looks as if it could be written to, until a report is.
func lateFullDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "report.html"), 0o700))
	return dir
}

var (
	runOnce      = []string{"run", "--trace", smallTrace}
	faultsOnce   = []string{"faults", "--callers", "2"}
	snowballOnce = []string{"snowball", "--rate", "100", "--workers", "4", "--duration", "1s"}
	memoryOnce   = []string{
		"memory", "--entries", "1000", "--phase", "100ms", "--rate", "100", "--gogc", "100", "--stores",
		"map", "--limit", "none", "--ttl", "0s",
	}
)

// What a run has measured is printed, whatever becomes of its report.
func TestTableIsPrintedThoughTheReportCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		args   []string
		table  string
		isFake bool // its clock
	}{
		{runOnce, "Latency by outcome", false},
		{faultsOnce, "What 2 callers of one load saw", true},
		{snowballOnce, "healthy events/s during the fault", true},
		{memoryOnce, "p99 pause", false},
	} {
		check := func(t *testing.T) {
			t.Helper()
			dir := lateFullDisk(t)
			code, stdout, stderr := cachebench(t.Context(),
				append(c.args[:len(c.args):len(c.args)], "--out", dir)...)
			assert.Equal(t, exitFailed, code, c.args)
			assert.Contains(t, stdout, c.table)
			assert.Contains(t, stderr, "cachebench: can't write "+filepath.Join(dir, "report.html")+
				": it is a folder")
			assert.NotContains(t, stdout, "Written:")
		}
		if c.isFake {
			synctest.Test(t, check)
		} else {
			check(t)
		}
	}
	code, stdout, stderr := cachebench(t.Context(),
		append(runOnce[:len(runOnce):len(runOnce)], "--json", "--out", lateFullDisk(t))...)
	assert.Equal(t, exitFailed, code)
	assert.True(t, json.Valid([]byte(stdout)), stdout)
	assert.Contains(t, stderr, "it is a folder")
}

type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// And the report is written, whatever becomes of what is printed.
func TestReportIsWrittenThoughTheTableCannotBePrinted(t *testing.T) {
	dir := t.TempDir()
	var stderr bytes.Buffer
	code := execute(t.Context(), append(runOnce[:len(runOnce):len(runOnce)], "--out", dir), fullDisk{},
		&stderr)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr.String(), errFull.Error())
	assert.Contains(t, readFile(t, dir, "result.json"), "series.csv", "the result names the files")
}

// A check that did not hold is told beside what could not be written.
func TestChecksAreToldThoughTheReportCannotBeWritten(t *testing.T) {
	args := append(slices.Clone(runOnce), "--min-hit-ratio", "0.999", "--out", lateFullDisk(t))
	code, _, stderr := cachebench(t.Context(), args...)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "it is a folder")
	assert.Contains(t, stderr, "1 of 1 checks did not hold:\n  The hit ratio is at least 99.90 %")
}

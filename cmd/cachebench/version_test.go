package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersion(t *testing.T) {
	code, stdout, _ := cachebench(t.Context(), "--version")
	require.Equal(t, exitOK, code)
	require.Regexp(t, `^cachebench version \S.* go1\.\d+`, stdout)
}

func TestModuleVersion(t *testing.T) {
	for in, want := range map[string]string{
		"v0.1.0":                             "0.1.0",
		"v0.2.0-rc.1":                        "0.2.0-rc.1",
		"v0.1.0+dirty":                       "0.1.0 modified",
		"v0.0.0-20261129234025-03293ea1f02d": "devel 03293ea1f02d",
		"v0.1.1-0.20261129234025-03293ea1f02d+dirty": "devel 03293ea1f02d modified",
		"(devel)": "devel",
		"":        "devel",
	} {
		assert.Equal(t, want, moduleVersion(in), in)
	}
}

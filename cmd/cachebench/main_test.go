package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/snowfence/snowfence/internal/leak"
)

func TestMain(m *testing.M) {
	// For nodes in processes of their own a command starts itself again, which in a test is this
	// program.
	if len(os.Args) == 2 && strings.HasSuffix(os.Args[1], "-child") {
		os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	// Tests look for whole lines, whatever the terminal that they run in.
	if err := os.Setenv("COLUMNS", "1000"); err != nil {
		panic(err)
	}
	leak.Main(m)
}

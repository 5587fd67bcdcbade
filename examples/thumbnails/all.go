package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// startAll runs three processes of this program, one for each node, until ctx ends.
func startAll(ctx context.Context, args []string, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-all" || a == "--all" || a == "-all=true" })
	var running sync.WaitGroup
	failed := make(chan error, 3)
	for node := 1; node <= 3; node++ {
		cmd := exec.CommandContext(ctx, self, append(rest, "-node", strconv.Itoa(node))...) //nolint:gosec // ourselves
		cmd.Stdout, cmd.Stderr = stderr, stderr
		// An end in good order; if that takes too long, one in bad.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		running.Go(func() {
			if err := cmd.Run(); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("node %d: %w", node, err)
			}
		})
	}
	running.Wait()
	close(failed)
	return <-failed
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// startAll runs three processes of this program, one for each node, until ctx ends. If one of them
// ends before, the others go on, as they would on machines of their own. So you can kill a node to
// see the effect.
func startAll(ctx context.Context, args []string, stderr io.Writer, log *slog.Logger) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	ended := make(chan error, nodes)
	for node := 1; node <= nodes; node++ {
		// If a flag is given twice, the last one counts.
		given := append(slices.Clone(args), "-all=false", "-node", strconv.Itoa(node))
		cmd := exec.CommandContext(ctx, self, given...) //nolint:gosec // this program
		cmd.Stdout, cmd.Stderr = stderr, stderr
		// Ask the process to shut down; kill it if that takes longer than WaitDelay.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = time.Minute
		running.Go(func() {
			err := cmd.Run()
			if failed := errors.As(err, new(*exec.ExitError)); failed || ctx.Err() == nil {
				name := fmt.Sprint("thumbs-", node)
				log.Error("a node has ended", "node", name, "error", err)
			}
			ended <- err
		})
	}
	running.Wait()
	select {
	case <-ctx.Done():
		return nil
	default:
		return fmt.Errorf("all nodes have ended, the first one with: %w", <-ended)
	}
}

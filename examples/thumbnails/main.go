// Thumbnails is a small service of three nodes that share one cache. A thumbnail takes long to
// make, so each is made once for all nodes, by the node that owns it. The others ask that node,
// and keep a copy for a second.
//
// The README has commands to try.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// An interrupt, or SIGTERM, by which most supervisors stop a process, begins the shutdown.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv("THUMBNAILS_SECRET"), os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "thumbnails:", err)
		os.Exit(1) //nolint:gocritic // stop need not run
	}
}

// run parses the arguments and runs one node, or three processes with -all, until ctx ends.
func run(ctx context.Context, args []string, secret string, stderr io.Writer) error {
	c, all, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if c.secret = []byte(secret); secret != "" && len(secret) < minSecret {
		return fmt.Errorf("THUMBNAILS_SECRET has %d bytes: want at least %d, or none",
			len(secret), minSecret)
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if all {
		return startAll(ctx, args, stderr, log)
	}
	return serve(ctx, c, log)
}

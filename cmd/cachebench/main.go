// Cachebench is the load tool of Snowfence. It runs load against the embedded
// cache, shows what a slow, stuck or crashing fetch does to its callers with
// the courier's fix off and on, and writes what it measured as a table, JSON,
// CSV and a self-contained HTML report.
//
// Exit codes: 0, all was well; 1, the run failed or a check did not hold; 2,
// the command line or an input file was wrong.
//
// Run "cachebench help" for the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// again is how long after the first signal a second one counts. Some wrappers,
// such as timeout(1), send one signal twice at once.
const again = 300 * time.Millisecond

func main() {
	// The first signal stops the run, which then prints what it measured; a
	// second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		time.Sleep(again)
		stop()
	})
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

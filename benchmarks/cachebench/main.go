// Cachebench runs the snowball of the load tool against other libraries: the very same events, each
// library in a process of its own, one after the other.
//
//	go run ./cachebench snowball                                 # the fetch of five keys panics
//	go run ./cachebench snowball --fault hang --against otter,sturdyc --out out/against
//
// All flags of "cachebench snowball" are there, and --against names the libraries. libraries.go
// holds how each of them is set up, run.go what the processes do.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &lab.Output{Stdout: stdout, Stderr: stderr}
	root := &cobra.Command{
		Use:   "against",
		Short: "The snowball of Snowfence's load tool, against other libraries",
		Long: `Against has one experiment, the snowball, and runs it through other libraries.
All the others are in the cachebench of the main module.`,
	}
	lab.Root(root, out, nil, lab.Command(experiment, out))
	return lab.Execute(ctx, root, args, stderr)
}

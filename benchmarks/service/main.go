// Service measures a whole service with each library as its cache: latencies, errors, processor
// time, memory and queries at rising rates.
//
//	go run ./service                                     # every library, 15 minutes
//	go run ./service -quick                              # one short round, to see that it works
//	go run ./service -libs snowfence,otter -rates 4000,8000 -json service.json
//	go run ./service -from service.json -markdown        # the tables again, in Markdown
//
// The service answers GET /rows/{id} over loopback with a row of a SQLite database, in JSON. Some
// queries are slow and some fail. For each measurement a new process of this program serves, and
// this process sends the requests, each at a time of a schedule, over kept connections.
//
// Read server.go and origin.go for what is served, libraries.go and internal/peers for how each
// library is set up, traffic.go for the schedule, cell.go for one measurement, rounds.go for their
// order, and medians.go and show.go for what is made of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/table"
)

// errUsage marks errors of the command line. They lead to exit code 2.
var errUsage = errors.New("wrong usage")

// childArgument makes this program a server's process.
const childArgument = "serve-child"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	if len(args) == 1 && args[0] == childArgument {
		return serve(in, out)
	}
	o, err := parse(args, errOut)
	if err != nil {
		return err
	}
	var r *result
	var stopped error
	if o.from != "" {
		r, err = readResult(o.from)
		if err != nil {
			return err
		}
	} else {
		var cells []cell
		cells, stopped = o.run(ctx, errOut)
		if stopped != nil && (ctx.Err() == nil || len(cells) == 0) {
			return stopped
		}
		r = newResult(o, cells)
	}
	if err := o.write(out, r); err != nil {
		return err
	}
	if stopped != nil {
		return fmt.Errorf("stopped before the end, what was measured is shown: %w", stopped)
	}
	return nil
}

// write writes the tables, and the files that the options name.
func (o *options) write(out io.Writer, r *result) error {
	style := table.StyleFor(out)
	for _, t := range r.tables() {
		if o.markdown {
			text, err := t.Markdown()
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
				return err
			}
			continue
		}
		if err := t.WriteText(out, style); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	if o.svg != "" {
		if err := r.writeCharts(o.svg); err != nil {
			return err
		}
	}
	if o.json == "" {
		return nil
	}
	return atomicfile.Write(o.json, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		return e.Encode(r)
	})
}

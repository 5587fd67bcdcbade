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
	"io"
	"os"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// childArgument makes this program a server's process.
const childArgument = "serve-child"

func main() {
	cli.Main("service", func(ctx context.Context) error {
		return command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	})
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
	return cli.Stopped(stopped)
}

// write writes the tables, and the files that the options name.
func (o *options) write(out io.Writer, r *result) error {
	if err := cli.WriteTables(out, r.tables(), o.markdown); err != nil {
		return err
	}
	if o.svg != "" {
		if err := r.writeCharts(o.svg); err != nil {
			return err
		}
	}
	return cli.WriteJSON(o.json, r)
}

// Thumbnails is a small service of three nodes that share one cache. A thumbnail takes long to make, so each is made once for
// all nodes, by the node that owns it; the others ask that one and keep a copy for a second.
//
// Its README has the commands to try.
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
	"time"
)

func main() {
	// An interrupt, or the signal with which most supervisors end a process, begins the end in good order.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "thumbnails:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	c, all, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if all {
		return startAll(ctx, args, stderr)
	}
	return serve(ctx, c, slog.New(slog.NewTextHandler(stderr, nil)))
}

// config is what the flags say.
type config struct {
	node     int
	port     int // of HTTP, of node 1
	gossip   int // port of the registry, of node 1
	nodes    int
	ttl      time.Duration
	work     time.Duration
	shutdown time.Duration
	secret   string
}

func (c config) name() string     { return fmt.Sprintf("thumbs-%d", c.node) }
func (c config) httpAddr() string { return fmt.Sprintf("127.0.0.1:%d", c.port+c.node-1) }
func (c config) gossipPort() int  { return c.gossip + c.node - 1 }
func (c config) seeds() (s []string) {
	for i := range c.nodes {
		s = append(s, fmt.Sprintf("127.0.0.1:%d", c.gossip+i))
	}
	return s
}

const usage = `thumbnails is a service of three nodes that make thumbnails once for all of them.

  go run ./examples/thumbnails -node 1      in one terminal
  go run ./examples/thumbnails -node 2      in another
  go run ./examples/thumbnails -node 3      in a third
  curl -i localhost:8081/thumb/cat          on any of 8081, 8082, 8083

or all three from one terminal: go run ./examples/thumbnails -all

  GET    /thumb/NAME   the thumbnail; X-Cache says where it came from
  DELETE /thumb/NAME   the picture has changed: forget it, on all nodes
  GET    /healthz      200 if the node serves, 503 if it is starting or ending
  GET    /metrics      for Prometheus

THUMBNAILS_SECRET, 32 bytes or more and the same for all nodes, has them authenticate each other.

`

func parse(args []string, stderr io.Writer) (c config, all bool, err error) {
	f := flag.NewFlagSet("thumbnails", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		f.PrintDefaults()
	}
	f.IntVar(&c.node, "node", 0, "which node this is: 1, 2 or 3")
	f.BoolVar(&all, "all", false, "start all three, each as a process")
	f.IntVar(&c.port, "port", 8081, "HTTP port of node 1; the others have the next ones")
	f.IntVar(&c.gossip, "gossip-port", 7951, "registry port of node 1; the others have the next ones")
	f.DurationVar(&c.ttl, "ttl", time.Minute, "how long a thumbnail is kept")
	f.DurationVar(&c.work, "work", 500*time.Millisecond, "how long it takes to make one")
	f.DurationVar(&c.shutdown, "shutdown", 5*time.Second, "how long requests may take to end when the node ends")
	if err := f.Parse(args); err != nil {
		return c, all, err
	}
	c.nodes, c.secret = 3, os.Getenv("THUMBNAILS_SECRET")
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("%q is no flag (-h lists them)", f.Arg(0))
	case all && c.node != 0:
		err = errors.New("-all starts all nodes: leave -node out")
	case !all && (c.node < 1 || c.node > c.nodes):
		err = fmt.Errorf("-node %d: want 1, 2 or 3 (or -all)", c.node)
	case c.port < 1 || c.port > 65533:
		err = fmt.Errorf("-port %d: want 1 to 65533", c.port)
	case c.gossip < 1 || c.gossip > 65533:
		err = fmt.Errorf("-gossip-port %d: want 1 to 65533", c.gossip)
	case c.work < 0:
		err = fmt.Errorf("-work %v: want 0 or more", c.work)
	}
	return c, all, err
}

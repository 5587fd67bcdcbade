package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
)

const (
	nodes     = 3
	minSecret = cluster.MinSharedKey
)

// config is what the flags say. The ports are those of node 1; node 2 has the next one, node 3 the one after that.
type config struct {
	node     int
	port     int // for users
	inside   int // for the other nodes, Prometheus and health checks
	gossip   int // for the registry
	ttl      time.Duration
	work     time.Duration
	shutdown time.Duration
	secret   []byte
}

func (c config) name() string             { return fmt.Sprintf("thumbs-%d", c.node) }
func (c config) addr(first int) string    { return fmt.Sprintf("127.0.0.1:%d", first+c.node-1) }
func (c config) gossipPort() int          { return c.gossip + c.node - 1 }
func (c config) thumbURL(n string) string { return "http://" + c.addr(c.port) + "/thumb/" + n }

// seeds are all nodes, this one included: so all can be given the same list, whichever starts first.
func (c config) seeds() (s []string) {
	for i := range nodes {
		s = append(s, fmt.Sprintf("127.0.0.1:%d", c.gossip+i))
	}
	return s
}

const usage = `thumbnails is a service of three nodes that make each thumbnail once for all of them.

  go run ./examples/thumbnails -node 1      in one terminal
  go run ./examples/thumbnails -node 2      in another
  go run ./examples/thumbnails -node 3      in a third
  curl -i localhost:8081/thumb/cat          on any of 8081, 8082, 8083

or all three from one terminal: go run ./examples/thumbnails -all

For users, on 8081, 8082, 8083:
  GET    /thumb/NAME   the thumbnail; X-Made-By says which node made it, X-Took how long this one needed to get it
  DELETE /thumb/NAME   the picture has changed: forget it, on all nodes
For operators, on 9081, 9082, 9083:
  GET    /healthz      200 while the node serves, 503 when it is ending
  GET    /metrics      for Prometheus

With THUMBNAILS_SECRET set, 32 bytes or more and the same for all nodes, they take nothing from strangers.

`

func parse(args []string, stderr io.Writer) (c config, all bool, err error) {
	f := flag.NewFlagSet("thumbnails", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are returned, and shown once
	f.Usage = func() {}
	f.IntVar(&c.node, "node", 0, "which node this is: 1, 2 or 3")
	f.BoolVar(&all, "all", false, "start all three, each as a process of its own")
	f.IntVar(&c.port, "port", 8081, "port of node 1 for users; the other nodes have the next ones")
	f.IntVar(&c.inside, "inside-port", 9081, "port of node 1 for other nodes and operators; the others have the next ones")
	f.IntVar(&c.gossip, "gossip-port", 7951, "port of node 1 for the registry; the others have the next ones")
	f.DurationVar(&c.ttl, "ttl", time.Minute, "how long a thumbnail is kept")
	f.DurationVar(&c.work, "work", 500*time.Millisecond, "how long it takes to make one")
	f.DurationVar(&c.shutdown, "shutdown", 10*time.Second, "how long requests may take to end when the node ends")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			f.SetOutput(stderr)
			_, _ = io.WriteString(stderr, usage)
			f.PrintDefaults()
			return c, all, err
		}
		return c, all, fmt.Errorf("%w (-h lists the flags)", err)
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("%q is no flag (-h lists them)", f.Arg(0))
	case all && c.node != 0:
		err = errors.New("-all starts all nodes: leave -node out")
	case !all && (c.node < 1 || c.node > nodes):
		err = fmt.Errorf("-node %d: want 1, 2 or 3 (or -all)", c.node)
	case c.ttl < 0:
		err = fmt.Errorf("-ttl %v: want 0 (for ever) or more", c.ttl)
	case c.work < 0:
		err = fmt.Errorf("-work %v: want 0 or more", c.work)
	case c.shutdown < 0:
		err = fmt.Errorf("-shutdown %v: want 0 or more", c.shutdown)
	}
	for _, port := range []struct {
		flag  string
		first int
	}{{"port", c.port}, {"inside-port", c.inside}, {"gossip-port", c.gossip}} {
		if last := 65535 - nodes + 1; err == nil && (port.first < 1 || port.first > last) {
			err = fmt.Errorf("-%s %d: want 1 to %d", port.flag, port.first, last)
		}
	}
	return c, all, err
}

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

// config holds the values of the flags. The ports are those of node 1; nodes 2 and 3 use the next
// two.
type config struct {
	node            int
	publicPort      int // for users
	internalPort    int // for Prometheus, health checks and the debug page
	cachePort       int // for the caches of the other nodes
	registryPort    int // for the registry
	ttl             time.Duration
	makeTime        time.Duration
	shutdownTimeout time.Duration
	secret          []byte
}

func (c config) name() string          { return fmt.Sprintf("thumbs-%d", c.node) }
func (c config) addr(first int) string { return fmt.Sprintf("127.0.0.1:%d", first+c.node-1) }
func (c config) ownRegistryPort() int  { return c.registryPort + c.node - 1 }
func (c config) thumbURL(name string) string {
	return "http://" + c.addr(c.publicPort) + "/thumb/" + name
}

// seeds returns the addresses of all nodes, including this one, so that all nodes have the same
// list, in whatever order they start.
func (c config) seeds() (s []string) {
	for i := range nodes {
		s = append(s, fmt.Sprintf("127.0.0.1:%d", c.registryPort+i))
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
  GET    /thumb/NAME   returns the thumbnail; X-Made-By names the node that made it, and X-Took
                       is the time in which this node got it
  DELETE /thumb/NAME   deletes the thumbnail on all nodes, for when the picture has changed
For operators, on 9081, 9082, 9083:
  GET    /healthz      returns 200 while the node serves, 503 while it shuts down
  GET    /metrics      returns metrics for Prometheus
  GET    /debug/snowfence/
                       shows the loads under way, the members and more

If THUMBNAILS_SECRET is set, to 32 random bytes or more and the same on all nodes, they speak TLS
with each other and refuse everybody else.

`

func parse(args []string, stderr io.Writer) (c config, all bool, err error) {
	f := flag.NewFlagSet("thumbnails", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are returned, and main prints them
	f.Usage = func() {}
	f.IntVar(&c.node, "node", 0, "the number of this node: 1, 2 or 3")
	f.BoolVar(&all, "all", false, "start all three nodes, each in a process of its own")
	f.IntVar(&c.publicPort, "port", 8081,
		"port of node 1 for users; the other nodes have the next ones")
	f.IntVar(&c.internalPort, "inside-port", 9081,
		"port of node 1 for operators; the other nodes have the next ones")
	f.IntVar(&c.cachePort, "cache-port", 9181,
		"port of node 1 for the caches of other nodes; the other nodes have the next ones")
	f.IntVar(&c.registryPort, "gossip-port", 7951,
		"port of node 1 for the registry; the other nodes have the next ones")
	f.DurationVar(&c.ttl, "ttl", time.Minute, "how long a thumbnail is kept; 0: for ever")
	f.DurationVar(&c.makeTime, "work", 500*time.Millisecond, "how long it takes to make a thumbnail")
	f.DurationVar(&c.shutdownTimeout, "shutdown", 10*time.Second,
		"how long requests may take to end when the node shuts down")
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
		err = fmt.Errorf("unexpected argument %q (-h lists the flags)", f.Arg(0))
	case all && c.node != 0:
		err = errors.New("-all starts all nodes: leave -node out")
	case !all && (c.node < 1 || c.node > nodes):
		err = fmt.Errorf("-node %d: want 1, 2 or 3 (or -all)", c.node)
	case c.ttl < 0:
		err = fmt.Errorf("-ttl %v: want 0 (for ever) or more", c.ttl)
	case c.makeTime < 0:
		err = fmt.Errorf("-work %v: want 0 or more", c.makeTime)
	case c.shutdownTimeout < 0:
		err = fmt.Errorf("-shutdown %v: want 0 or more", c.shutdownTimeout)
	}
	for _, port := range []struct {
		flag  string
		first int
	}{{"port", c.publicPort}, {"inside-port", c.internalPort}, {"cache-port", c.cachePort},
		{"gossip-port", c.registryPort}} {
		if last := 65535 - nodes + 1; err == nil && (port.first < 1 || port.first > last) {
			err = fmt.Errorf("-%s %d: want 1 to %d", port.flag, port.first, last)
		}
	}
	return c, all, err
}

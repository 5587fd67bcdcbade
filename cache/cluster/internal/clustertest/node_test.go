package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cluster"
	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/registry"
)

// A node is the node in a process of its own.
type node struct {
	spec   spec
	out    chan<- message
	links  *links
	sab    *saboteur
	reg    *registry.Registry
	cache  *cluster.Cache[value]
	server *http.Server
	client *http.Transport
	served chan struct{} // closed when the server has ended

	goroutines, files int // before the node was opened

	poison atomic.Pointer[string] // the key whose load ends the process; nil: none

	lastLoad atomic.Uint64
	mu       sync.Mutex // guards all below
	loads    map[uint64]chan answer
	fetches  map[uint64]context.CancelFunc
}

// serve runs a process that is a node: it opens the node, replies to that, and carries out commands
// until its input ends, as it does when the test's process ends.
func serve(text string, in io.Reader, out io.Writer) (code int) {
	messages := make(chan message, 1024)
	go write(out, messages)
	n := &node{out: messages, loads: make(map[uint64]chan answer),
		fetches: make(map[uint64]context.CancelFunc)}
	if err := json.Unmarshal([]byte(text), &n.spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	n.goroutines, n.files = footprint()
	opened := new(reply)
	if err := n.open(); err != nil {
		*opened = *failed(err)
	}
	n.out <- message{Reply: opened}

	dec := json.NewDecoder(in)
	for {
		var c command
		if err := dec.Decode(&c); err != nil || c.Op == "exit" {
			return 0
		}
		if c.Answer != nil {
			n.answered(*c.Answer)
			continue
		}
		go func() {
			p := n.do(&c)
			p.ID = c.ID
			n.out <- message{Reply: p}
		}()
	}
}

// write writes messages until the process ends.
func write(out io.Writer, messages <-chan message) {
	enc := json.NewEncoder(out)
	for m := range messages {
		if enc.Encode(m) != nil {
			os.Exit(1) // nothing reads any more
		}
	}
}

// poisoned is the exit code of a process that has loaded the poison.
const poisoned = 77

// footprint counts goroutines and open files, after the runtime has opened what it opens once.
func footprint() (goroutines, files int) {
	if l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
	}
	return runtime.NumGoroutine(), openFiles()
}

// openFiles counts the open file descriptors; -1 where the system does not show them.
func openFiles() int {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return -1
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names) - 1 // without d
}

// A named codec is JSON under another name.
type named struct {
	cluster.Codec[value]
	name string
}

func (c named) Name() string { return c.name }

func (n *node) open() error {
	s := n.spec
	ownership, err := cluster.ParseOwnership(s.Ownership)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp",
		net.JoinHostPort("127.0.0.1", strconv.Itoa(s.HTTPPort)))
	if err != nil {
		return err
	}
	if n.links, err = listen(s.Port); err != nil {
		return errors.Join(err, l.Close())
	}
	n.links.set(s.Links)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n.reg, err = registry.Open(ctx, registry.Config{
		NodeName: s.Name, Seeds: s.Seeds, Partitions: 4, Transport: n.links, SyncTimeout: patience,
		GossipInterval: 20 * time.Millisecond, ProbeInterval: probeInterval, ProbeTimeout: probeTimeout,
		SuspicionMult: 2,
		Logger:        logger.With("part", "registry"),
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	n.server = &http.Server{ReadHeaderTimeout: patience}
	scheme, serve := "http://", n.server.Serve
	if len(s.SharedKeys) > 0 {
		if n.server.TLSConfig, err = cluster.SharedKeyTLS(s.SharedKeys...); err != nil {
			return errors.Join(err, n.reg.Close(), l.Close())
		}
		scheme, serve = "https://", func(l net.Listener) error { return n.server.ServeTLS(l, "", "") }
	}
	n.client = peer.DefaultTransport(n.server.TLSConfig)
	n.client.DialContext = n.links.dial(n.client.DialContext)
	o := cluster.Options[value]{
		Registry: n.reg, URL: scheme + l.Addr().String() + "/some/where", Load: n.load, Name: "test",
		LoadMany: n.loadMany,
		Cache: cache.Options[string, value]{
			TTL: s.TTL, Tags: func(key string, _ value) []string { return []string{tagOf(key)} },
		},
		CopyTTL: s.CopyTTL, Ownership: ownership, Slots: s.Slots, IdleRelease: s.IdleRelease,
		PeerTimeout: s.PeerTimeout,
		Quarantine:  s.Quarantine, MaxLocalLoads: s.MaxLocalLoads, MaxPeerRequests: s.MaxPeerRequests,
		SharedKeys: s.SharedKeys,
		Transport:  n.client, Logger: logger.With("part", "cache"),
	}
	if s.Codec != "" {
		o.Codec = named{cluster.JSON[value](), s.Codec}
	}
	if n.cache, err = cluster.New(o); err != nil {
		return errors.Join(err, n.reg.Close(), l.Close())
	}
	n.sab = newSaboteur(l)
	mux := http.NewServeMux()
	mux.Handle("/some/where/", n.cache.Handler())
	n.sab.next = mux
	n.server.Handler = n.sab
	n.server.ErrorLog = slog.NewLogLogger(logger.With("part", "server").Handler(), slog.LevelDebug)
	n.served = make(chan struct{})
	go func() {
		defer close(n.served)
		_ = serve(n.sab) // ends when the server is closed
	}()
	return nil
}

// load asks the origin.
func (n *node) load(ctx context.Context, key string) (value, error) {
	if poison := n.poison.Load(); poison != nil && *poison == key {
		os.Exit(poisoned)
	}
	id := n.lastLoad.Add(1)
	answers := make(chan answer, 1)
	n.mu.Lock()
	n.loads[id] = answers
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.loads, id)
		n.mu.Unlock()
	}()
	n.out <- message{Load: &loading{id, key}}
	select {
	case a := <-answers:
		switch {
		case a.Panic != "":
			panic(a.Panic)
		case a.Goexit:
			runtime.Goexit()
		case a.Error != "":
			return value{}, errors.New(a.Error)
		}
		return value{
			Key: key, Version: a.Version, Issued: a.Issued, Loaded: time.Now().UnixNano(),
			By: n.spec.Name,
		}, nil
	case <-ctx.Done():
		n.out <- message{Left: id}
		return value{}, context.Cause(ctx)
	}
}

// tagOf returns the tag that the values of a key bear.
func tagOf(key string) string { return "of " + key }

// loadMany asks the origin for all keys at the same time.
func (n *node) loadMany(ctx context.Context, keys []string) (map[string]value, error) {
	var mu sync.Mutex // guards values and failed
	values, failed := make(map[string]value), make(map[string]error)
	var wg sync.WaitGroup
	var panicked any
	for _, key := range keys {
		wg.Go(func() {
			err := context.Canceled // if it calls Goexit
			var v value
			defer func() {
				p := recover()
				mu.Lock()
				defer mu.Unlock()
				if p != nil {
					panicked = p
				}
				if values[key] = v; err != nil {
					delete(values, key)
					failed[key] = err
				}
			}()
			v, err = n.load(ctx, key)
		})
	}
	wg.Wait()
	for key, v := range values { // the last of them may have taken long
		v.Loaded = time.Now().UnixNano()
		values[key] = v
	}
	switch {
	case panicked != nil:
		panic(panicked)
	case len(failed) > 0:
		return values, &cache.ManyError[string]{ByKey: failed}
	}
	return values, nil
}

func (n *node) answered(a answer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if answers := n.loads[a.Load]; answers != nil {
		answers <- a
	}
}

func failed(err error) *reply {
	if err == nil {
		return new(reply)
	}
	var duplicate *registry.DuplicateNameError
	p := &reply{Error: err.Error(), Duplicate: errors.As(err, &duplicate)}
	var u *cluster.UnconfirmedError
	if errors.As(err, &u) {
		p.Unconfirmed = u.Nodes
	}
	return p
}

// do carries a command out.
func (n *node) do(c *command) *reply {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if c.Deadline > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.Deadline)
		defer cancel()
	}
	switch c.Op {
	case "fetch":
		return n.fetch(ctx, cancel, c)
	case "fetch many":
		return n.fetchMany(ctx, c.Keys)
	case "cancel":
		n.mu.Lock()
		defer n.mu.Unlock()
		if f := n.fetches[c.Target]; f != nil {
			f()
		}
		return new(reply)
	case "get":
		p := new(reply)
		for _, key := range c.Keys {
			begin := time.Now().UnixNano()
			v, ok := n.cache.Get(key)
			r := resultOf(key, v, nil, begin)
			r.Found = ok
			p.Results = append(p.Results, r)
		}
		return p
	case "delete":
		return n.change(func() error { return n.cache.Delete(ctx, c.Keys[0]) })
	case "tag": // of a key
		return n.change(func() error { return n.cache.InvalidateTag(ctx, tagOf(c.Keys[0])) })
	case "clear":
		return n.change(func() error { return n.cache.Clear(ctx) })
	case "state":
		return &reply{State: n.state()}
	case "links":
		n.links.set(*c.Links)
		return new(reply)
	case "poison":
		n.poison.Store(nil)
		if len(c.Keys) > 0 {
			n.poison.Store(&c.Keys[0])
		}
		return new(reply)
	case "sabotage":
		n.sab.set(c.Mode)
		return new(reply)
	case "close cache":
		return failed(n.cache.Close())
	case "close":
		return n.close(false)
	case "leave":
		return n.close(true)
	}
	return failed(fmt.Errorf("unknown command %q", c.Op))
}

// change carries out a delete, and replies with the nodes that were members all the time.
func (n *node) change(f func() error) *reply {
	before := n.peers()
	begin := time.Now().UnixNano()
	p := failed(f())
	p.Begin, p.End = begin, time.Now().UnixNano()
	after := n.peers()
	for node := range before {
		if after[node] {
			p.Peers = append(p.Peers, node)
		}
	}
	return p
}

func (n *node) peers() map[string]bool {
	peers := make(map[string]bool)
	for _, p := range n.cache.Stats().Peers {
		if p.Differs == "" {
			peers[p.Node] = true
		}
	}
	return peers
}

func (n *node) fetch(ctx context.Context, cancel context.CancelFunc, c *command) *reply {
	n.mu.Lock()
	n.fetches[c.ID] = cancel
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.fetches, c.ID)
		n.mu.Unlock()
	}()
	p := &reply{Results: make([]*result, c.Callers)}
	var wg sync.WaitGroup
	for i := range p.Results {
		wg.Go(func() {
			key := c.Keys[i%len(c.Keys)]
			begin := time.Now().UnixNano()
			v, err := n.cache.Fetch(ctx, key)
			p.Results[i] = resultOf(key, v, err, begin)
		})
	}
	wg.Wait()
	return p
}

func (n *node) fetchMany(ctx context.Context, keys []string) *reply {
	begin := time.Now().UnixNano()
	values, err := n.cache.FetchMany(ctx, keys)
	var many *cache.ManyError[string]
	errors.As(err, &many)
	p := &reply{Results: make([]*result, len(keys))}
	for i, key := range keys {
		v, ok := values[key]
		var failure error
		switch {
		case ok:
		case many != nil && many.ByKey[key] != nil:
			failure = many.ByKey[key]
		default:
			failure = fmt.Errorf("it is neither there nor failed: %w", cache.ErrNotFound)
		}
		p.Results[i] = resultOf(key, v, failure, begin)
	}
	return p
}

func resultOf(key string, v value, err error, begin int64) *result {
	r := &result{Key: key, Version: v.Version, Issued: v.Issued, Loaded: v.Loaded, Begin: begin,
		End: time.Now().UnixNano()}
	if v.Key != key && v.Key != "" {
		r.Wrong = v.Key
	}
	if err != nil {
		r.Error, r.Class, r.Where = err.Error(), classOf(err), whereOf(err)
	}
	return r
}

// classOf returns the kind of a caller's error.
func classOf(err error) string {
	switch {
	case errors.As(err, new(*cluster.QuarantineError)):
		return "quarantined"
	case errors.Is(err, cluster.ErrClosed):
		return "closed"
	case errors.Is(err, cluster.ErrOverloaded):
		return "overloaded"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return "load"
}

// whereOf returns the node that an error of Load names.
func whereOf(err error) string {
	var l *peer.LoadError
	if errors.As(err, &l) {
		return l.Node
	}
	return ""
}

func (n *node) state() *state {
	s := &state{
		Stats: n.cache.Stats(), Names: make(map[string]string),
		Goroutines: runtime.NumGoroutine(), Files: openFiles(),
	}
	for _, m := range n.reg.Members() {
		s.Members = append(s.Members, m.Name)
	}
	for c := range n.reg.All() {
		s.Names[c.Name] = c.Node
	}
	return s
}

// close stops the node as a program should, and replies with what is left. Leaving the registry
// takes seconds if others leave at the same moment, and fails then.
func (n *node) close(leave bool) *reply {
	ctx, cancel := context.WithTimeout(context.Background(), leftPatience)
	defer cancel()
	err := n.cache.Close()
	close(n.sab.quit)
	if hangs := n.server.Shutdown(ctx); hangs != nil {
		return &reply{Left: fmt.Sprintf("requests that the server waits for: %v\n%s", hangs, stacks())}
	}
	<-n.served
	n.client.CloseIdleConnections()
	n.links.abandon()
	if leave {
		err = errors.Join(err, n.reg.Leave(ctx))
	}
	err = errors.Join(err, n.reg.Close())
	p := failed(err)
	p.Left = n.left()
	return p
}

func stacks() []byte {
	b := make([]byte, 1<<17)
	return b[:runtime.Stack(b, true)]
}

// left waits until all that the node has opened is gone, and returns what is still there if it does
// not go.
func (n *node) left() string {
	var goroutines, files int
	for start := time.Now(); time.Since(start) < leftPatience; time.Sleep(20 * time.Millisecond) {
		goroutines, files = runtime.NumGoroutine()-1, openFiles() // without the one that runs the command
		if goroutines <= n.goroutines && files <= n.files {
			return ""
		}
	}
	var links bytes.Buffer
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		for _, e := range entries {
			if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
				fmt.Fprintf(&links, "%s -> %s\n", e.Name(), to)
			}
		}
	}
	return fmt.Sprintf("%d goroutines, %d at the start; %d files, %d at the start\n%s\n%s",
		goroutines, n.goroutines, files, n.files, links.Bytes(), stacks())
}

package peerload

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// An origin is where values come from: an HTTP server in this process, which counts.
type origin struct {
	c      Config
	server *http.Server
	url    string
	ended  chan struct{}

	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	begun time.Time // of the run
	slow  bool
	fail  bool
	loads map[string][]visit // since begun
	gave  []issue            // all that it ever gave, by version
	total uint64
}

// A visit is one load of a key.
type visit struct {
	at    time.Duration // when it came, from the beginning of the run
	fails bool
}

// An issue is a value that the origin gave. The zero issue is a load that gave none.
type issue struct {
	key int64 // its number, and one
	at  int64 // nanoseconds of the wall clock
}

func openOrigin(ctx context.Context, c Config) (*origin, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{
		c: c, url: "http://" + listener.Addr().String(), ended: make(chan struct{}),
		rng:   rand.New(rand.NewPCG(c.Seed, 7)),                 //nolint:gosec // no secret
		loads: make(map[string][]visit), gave: make([]issue, 1), // versions begin with 1
	}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(o.ended)
		_ = o.server.Serve(listener) // it fails when it is closed
	}()
	return o, nil
}

// ServeHTTP is a load: the body is the key.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<12))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	o.total++
	version := o.total
	o.gave = append(o.gave, issue{})
	fails := o.fail || o.c.OriginErrors > 0 && o.rng.Float64() < o.c.OriginErrors
	if !o.begun.IsZero() {
		o.loads[string(key)] = append(o.loads[string(key)], visit{time.Since(o.begun), fails})
	}
	latency := o.c.OriginLatency
	if o.slow {
		latency = slowLoad(o.c)
	}
	o.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-r.Context().Done():
		return
	}
	if fails {
		http.Error(w, "the origin fails", http.StatusInternalServerError)
		return
	}
	now := time.Now()
	o.mu.Lock()
	o.gave[version] = issue{keyNumber(string(key)) + 1, now.UnixNano()}
	o.mu.Unlock()
	_, _ = w.Write(makeValue(string(key), version, now, o.c.Size))
}

// issued reports whether the origin gave this version, at this time, for the key of this number.
func (o *origin) issued(key int, version uint64, at int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return key >= 0 && version < uint64(len(o.gave)) && o.gave[version] == issue{int64(key) + 1, at}
}

// begin has loads counted from now on.
func (o *origin) begin(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun = at
}

// set makes the origin slow, or has it fail.
func (o *origin) set(slow, fail bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slow, o.fail = slow, fail
}

// counted returns the loads of each key, in order of time.
func (o *origin) counted() map[string][]visit {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make(map[string][]visit, len(o.loads))
	for key, visits := range o.loads {
		all[key] = slices.Clone(visits)
	}
	return all
}

// count is how many loads there were.
func (o *origin) count() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

func (o *origin) close() {
	_ = o.server.Close()
	<-o.ended
}

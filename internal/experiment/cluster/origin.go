package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/snowfence/snowfence/internal/lab/pace"
)

// An origin gives values over HTTP, and counts what it is asked for.
type origin struct {
	p     *Params
	url   string
	close func()

	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	begun time.Time // of the run
	slow  bool
	fail  bool
	loads []*loadRecord // since begun, in the order in which they came
	keys  []string      // of each version, from 1 on
}

func openOrigin(ctx context.Context, p *Params) (*origin, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{
		p: p, url: "http://" + listener.Addr().String(),
		rng: rand.New(rand.NewPCG(p.Seed, 7)), //nolint:gosec // no secret
	}
	o.close = serve(listener, o)
	return o, nil
}

// serve starts a server, and returns a function that ends it.
func serve(listener net.Listener, handler http.Handler) (stop func()) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // it fails when it is closed
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // a peer that is paused or cut off keeps its connection
		}
		<-ended
	}
}

// unended stands for the end of what has not ended.
const unended = time.Duration(1<<63 - 1)

// A request tells the origin of a load.
type request struct {
	Key     string `json:"key"`
	Process int    `json:"process"` // its number, in the order in which processes were started
	Number  uint64 `json:"number"`  // of the load, among those of the process
	// Vain names the host that the node asked in vain just before; empty: none, or it has answered.
	Vain string `json:"vain"`
	// Unasked counts how often the process had, by then, not asked a node that it should have asked:
	// that node had failed too often, or had too much to do, or the key was on trial.
	Unasked uint64 `json:"unasked"`
}

// A loadRecord holds what the origin notes of a load. Times are from the beginning of the run. The
// value that it brings is stored after end, so its TTL ends no sooner than end and the TTL.
type loadRecord struct {
	request
	start, end time.Duration
	failed     bool // the origin failed
	cut        bool // the node gave up
}

// ServeHTTP serves a load. The body is a request, and the answer's the value.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	load := &loadRecord{end: unended}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<12)).Decode(&load.request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	o.keys = append(o.keys, load.Key)
	version := uint64(len(o.keys))
	load.start = time.Since(o.begun)
	o.loads = append(o.loads, load)
	fails := o.fail || o.p.OriginErrors > 0 && o.rng.Float64() < o.p.OriginErrors
	latency, size := o.p.OriginLatency.Sample(o.rng), o.p.Size.Sample(o.rng)
	if o.slow {
		latency = slowed(latency)
	}
	o.mu.Unlock()
	if pace.Sleep(r.Context(), latency) != nil {
		o.end(load, func() { load.cut = true })
		return
	}
	o.end(load, func() { load.failed = fails })
	if fails {
		http.Error(w, "the origin fails", http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(makeValue(load.Key, version, size))
}

// slowed returns how long a load takes of a slow origin.
func slowed(latency time.Duration) time.Duration { return max(10*latency, time.Second) }

// end notes that a load has ended, before its node gets to know.
func (o *origin) end(load *loadRecord, how func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	load.end = time.Since(o.begun)
	how()
}

// begin sets the time from which the times of loads count.
func (o *origin) begin(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun = at
}

// set makes the origin slow, or makes it fail.
func (o *origin) set(slow, fail bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slow, o.fail = slow, fail
}

// recorded returns the loads in the order in which they came, as they are now.
func (o *origin) recorded() []*loadRecord {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]*loadRecord, len(o.loads))
	for i, load := range o.loads {
		now := *load
		all[i] = &now
	}
	return all
}

// gave reports whether a version is one of key.
func (o *origin) gave(key string, version uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return version > 0 && version <= uint64(len(o.keys)) && o.keys[version-1] == key
}

// issued returns how many values there were so far.
func (o *origin) issued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.keys)
}

// keyName returns the key of a number.
func keyName(n int) string { return "key/" + strconv.Itoa(n) }

// makeValue returns a value as the origin gives it: the key, the version, and padding up to size.
func makeValue(key string, version uint64, size int) []byte {
	b := fmt.Appendf(nil, "%s %d ", key, version)
	return append(b, bytes.Repeat([]byte{'.'}, max(0, size-len(b)))...)
}

// receive adds to a value when its load ended: its TTL begins then.
func receive(value []byte, at time.Time) []byte { return fmt.Appendf(value, " %d", at.UnixNano()) }

// readValue returns what makeValue and receive have put into a value.
func readValue(value []byte) (key string, version uint64, received time.Time, ok bool) {
	fields := strings.Fields(string(value))
	if len(fields) < 3 {
		return "", 0, time.Time{}, false
	}
	version, err := strconv.ParseUint(fields[1], 10, 64)
	at, err2 := strconv.ParseInt(fields[len(fields)-1], 10, 64)
	return fields[0], version, time.Unix(0, at), err == nil && err2 == nil
}

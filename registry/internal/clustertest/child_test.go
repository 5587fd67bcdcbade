package clustertest

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sync"
)

// A line is what a process that is a node writes: a reply to the line it read, or news.
type line struct {
	Reply *reply  `json:",omitempty"`
	Ended *ending `json:",omitempty"`
}

// serve runs a process that is a node: it opens the registry, replies, and carries requests out
// until its input ends, as it does when the test dies.
func serve(text string, in io.Reader, out io.Writer) (code int) {
	var mu sync.Mutex // keeps lines whole
	enc := json.NewEncoder(out)
	write := func(l line) {
		mu.Lock()
		defer mu.Unlock()
		if err := enc.Encode(l); err != nil {
			os.Exit(1) // nobody listens any more
		}
	}
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		write(line{Reply: failed(err)})
		return 2
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	a, err := open(s.config(log, nil), func(e ending) { write(line{Ended: &e}) })
	if err != nil {
		write(line{Reply: failed(err)})
		return 1
	}
	write(line{Reply: &reply{Addr: a.reg.Addr()}})

	dec := json.NewDecoder(in)
	for {
		var q request
		switch err := dec.Decode(&q); {
		case err == io.EOF || q.Op == "exit":
			if a.close() != nil {
				return 1
			}
			return 0
		case err != nil:
			return 2
		}
		write(line{Reply: a.do(&q)})
	}
}

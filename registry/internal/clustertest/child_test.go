package clustertest

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sync"
)

// A line is one line of output of a child process: a reply to the line that it read, or a
// notification.
type line struct {
	Reply *reply  `json:",omitempty"`
	Ended *ending `json:",omitempty"`
}

// serve runs a child process: it opens the registry, replies, and executes requests until its input
// ends, as it does when the test dies.
func serve(text string, in io.Reader, out io.Writer) (code int) {
	var mu sync.Mutex // serialises writes
	enc := json.NewEncoder(out)
	write := func(l line) {
		mu.Lock()
		defer mu.Unlock()
		if err := enc.Encode(l); err != nil {
			os.Exit(1) // the parent is gone
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

package clustertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/snowfence/snowfence/registry"
)

// A request is a command for a node.
type request struct {
	Op    string // a method of actor
	Names [][]byte
	Meta  []byte
}

// A reply is the result of a request. Only the requested fields are set.
type reply struct {
	Error     string
	Duplicate bool     // Error means that the node's name is taken
	Errors    []string // by the request's names, "" for none

	Addr    string
	Claims  []claim
	Names   [][]byte
	Members []string
	Tally   map[string]int
	Stats   *registry.Stats
}

// A claim is a name and its holder. Names can be any bytes, and JSON strings cannot.
type claim struct {
	Name []byte
	Node string
	Meta []byte
}

// An ending is a registration whose context ended.
type ending struct {
	Name     []byte
	Cause    string
	Conflict bool
	Winner   string // of the conflict
}

// An actor executes requests on a registry.
type actor struct {
	reg   *registry.Registry
	ended func(ending)

	watching sync.WaitGroup

	mu    sync.Mutex // guards what follows
	held  map[string]*registry.Registration
	tally map[string]int // of events
}

// open opens a registry. Each registration that ends is reported to ended.
func open(c registry.Config, ended func(ending)) (*actor, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := registry.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	a := &actor{reg: r, ended: ended, held: make(map[string]*registry.Registration),
		tally: make(map[string]int)}
	w := r.Watch(context.Background(), registry.WatchBuffer(1<<17))
	a.watching.Go(func() { a.count(w) })
	return a, nil
}

// count tallies the events by their fields other than the name.
func (a *actor) count(w *registry.Watcher) {
	for e := range w.Events() {
		key := e.Kind.String()
		switch e.Kind {
		case registry.NodeDown, registry.Unregistered:
			key += " " + e.Node + ": " + e.Reason.String()
		case registry.NodeUp, registry.Registered, registry.NodeRefused:
			key += " " + e.Node
		}
		a.mu.Lock()
		a.tally[key]++
		a.mu.Unlock()
	}
}

// do executes a request.
func (a *actor) do(q *request) *reply {
	switch q.Op {
	case "register":
		return a.register(q)
	case "run":
		for _, name := range q.Names {
			a.run(string(name))
		}
		return new(reply)
	case "release":
		return a.each(q, func(name string) error {
			g := a.registration(name)
			if g == nil {
				return fmt.Errorf("%q was never registered", name)
			}
			return g.Release()
		})
	case "claims":
		p := new(reply)
		for c := range a.reg.All() {
			p.Claims = append(p.Claims, claim{[]byte(c.Name), c.Node, c.Meta})
		}
		return p
	case "lookup":
		p := new(reply)
		for _, name := range q.Names {
			if c, ok := a.reg.Lookup(string(name)); ok {
				p.Claims = append(p.Claims, claim{name, c.Node, c.Meta})
			}
		}
		return p
	case "held":
		return a.holding()
	case "members":
		p := new(reply)
		for _, m := range a.reg.Members() {
			p.Members = append(p.Members, m.Name)
		}
		return p
	case "tally":
		a.mu.Lock()
		defer a.mu.Unlock()
		p := &reply{Tally: make(map[string]int)}
		for k, n := range a.tally {
			p.Tally[k] = n
		}
		return p
	case "stats":
		s := a.reg.Stats()
		return &reply{Stats: &s}
	case "leave":
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return failed(a.reg.Leave(ctx))
	}
	return failed(fmt.Errorf("unknown request %q", q.Op))
}

func failed(err error) *reply {
	if err == nil {
		return new(reply)
	}
	var duplicate *registry.DuplicateNameError
	return &reply{Error: err.Error(), Duplicate: errors.As(err, &duplicate)}
}

func (a *actor) each(q *request, f func(name string) error) *reply {
	p := new(reply)
	for _, name := range q.Names {
		text := ""
		if err := f(string(name)); err != nil {
			text = err.Error()
		}
		p.Errors = append(p.Errors, text)
	}
	return p
}

func (a *actor) register(q *request) *reply {
	return a.each(q, func(name string) error {
		g, err := a.reg.Register(context.Background(), name, q.Meta)
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.held[name] = g
		a.mu.Unlock()
		context.AfterFunc(g.Context(), func() {
			cause := context.Cause(g.Context())
			e := ending{Name: []byte(name), Cause: cause.Error(),
				Conflict: errors.Is(cause, registry.ErrConflict)}
			var c *registry.ConflictError
			if errors.As(cause, &c) {
				e.Winner = c.Winner.Node
			}
			a.ended(e)
		})
		return nil
	})
}

// run runs a function that only holds the name, and runs again after each loss. The request "held"
// lists such names.
func (a *actor) run(name string) {
	a.watching.Go(func() {
		err := a.reg.Run(context.Background(), name, nil, func(ctx context.Context) error {
			g, _ := registry.RegistrationFromContext(ctx)
			a.mu.Lock()
			a.held[name] = g
			a.mu.Unlock()
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, registry.ErrClosed) {
			a.ended(ending{Name: []byte(name), Cause: fmt.Sprint(err)})
		}
	})
}

func (a *actor) registration(name string) *registry.Registration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[name]
}

// holding lists the names of holders whose context has not ended.
func (a *actor) holding() *reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := new(reply)
	for name, g := range a.held {
		if g.Context().Err() == nil {
			p.Names = append(p.Names, []byte(name))
		}
	}
	slices.SortFunc(p.Names, func(x, y []byte) int { return strings.Compare(string(x), string(y)) })
	return p
}

// close closes the registry without notifying the others.
func (a *actor) close() error {
	err := a.reg.Close()
	a.watching.Wait()
	return err
}

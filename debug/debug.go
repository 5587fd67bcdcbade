package debug

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/stacks"
)

// A Handler is the page. Make one with [New]. All methods are safe for concurrent use.
type Handler struct {
	o      Options
	views  *courier.Courier[*source, *Section] // so that a source that hangs can't hang the page
	bubble stacks.Source                       // for tests

	mu      sync.Mutex // guards sources
	sources []*source
}

// Options configures a Handler. The zero value is valid.
type Options struct {
	// KeyText returns what is shown of a key, in place of what the key's courier would show. It must
	// be safe for concurrent use. If it panics for a key, a question mark stands for that. nil: as
	// courier.WithKeyText says.
	KeyText func(key any) string

	// Rows bounds the rows of each list, such as the flights of one source. 0 means 50; 1,000 is the
	// most.
	Rows int

	// Slow is the age from which a flight needs attention. 0 means a second.
	Slow time.Duration
}

// An OptionError reports an option with a value out of its range.
type OptionError struct {
	Field string // of Options
	Value any
	Want  string
}

// Error describes the OptionError in one line.
func (e *OptionError) Error() string {
	return fmt.Sprintf("debug: %s: %v: want %s", e.Field, e.Value, e.Want)
}

const (
	defaultRows = 50
	maxRows     = 1000
	defaultSlow = time.Second

	// patience is the time after which a source is given up.
	patience = 2 * time.Second
	// parallel bounds the sources that are looked at at the same time.
	parallel = 8
)

// validate returns an *OptionError for the first option that is invalid.
func (o *Options) validate() error {
	switch {
	case o.Rows < 0 || o.Rows > maxRows:
		return &OptionError{"Rows", o.Rows, "0 (50) to 1000"}
	case o.Slow < 0:
		return &OptionError{"Slow", o.Slow, "0 (a second) or more"}
	default:
		return nil
	}
}

// New makes a Handler that shows no source yet. For an invalid option it returns an *[OptionError].
func New(o Options) (*Handler, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.Rows, o.Slow = cmp.Or(o.Rows, defaultRows), cmp.Or(o.Slow, defaultSlow)
	return &Handler{
		o: o, views: courier.New[*source, *Section](courier.WithName("snowfence/debug"),
			courier.WithTimeout(10*time.Second), courier.WithMaxAbandoned(1, 64)),
		bubble: stacks.Source{BubbleRest: time.Second},
	}, nil
}

// Add shows a source under a name. Sources are shown in the order in which they were added. Like
// http.ServeMux.Handle, Add panics if the name is empty or taken.
func (h *Handler) Add(name string, s Source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if name == "" || s == nil {
		panic("debug: a source needs a name, and must not be nil")
	}
	if h.find(name) >= 0 {
		panic(fmt.Sprintf("debug: there is a source %q already", name))
	}
	h.sources = append(h.sources, &source{name: name, of: s})
}

// Remove shows the source with that name no more, if there is one.
func (h *Handler) Remove(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.find(name); i >= 0 {
		h.sources = slices.Delete(h.sources, i, i+1)
	}
}

// find returns the index of a source, or -1. h.mu is held.
func (h *Handler) find(name string) int {
	return slices.IndexFunc(h.sources, func(s *source) bool { return s.name == name })
}

// Snapshot returns what the page shows now. With names, these sources alone. It blocks for as long
// as a goroutine profile takes, and for two seconds if a source hangs, but not longer than ctx.
func (h *Handler) Snapshot(ctx context.Context, names ...string) *Snapshot {
	h.mu.Lock()
	sources := slices.Clone(h.sources)
	h.mu.Unlock()
	if len(names) > 0 {
		sources = slices.DeleteFunc(sources, func(s *source) bool {
			return !slices.Contains(names, s.name)
		})
	}
	v := &Snapshot{
		Time: time.Now(), Goroutines: runtime.NumGoroutine(), Sources: make([]*Section, len(sources)),
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, s := range sources {
		group.Go(func() error {
			v.Sources[i] = h.section(ctx, s)
			return nil
		})
	}
	_ = group.Wait() // no error: a section has its own
	v.Attention = []Attention{}
	for _, s := range v.Sources {
		v.Attention = append(v.Attention, s.Attention...)
	}
	return v
}

// section returns the section of s. Views at the same time share one.
func (h *Handler) section(ctx context.Context, s *source) *Section {
	ctx, cancel := context.WithCancel(courier.ContextWithPatience(ctx, patience))
	defer cancel()
	v, _, err := h.views.Do(ctx, s, func(context.Context) (*Section, error) {
		return h.collect(s), nil
	})
	if err == nil {
		return v
	}
	failed := &Section{Name: clean(s.name, maxKey), Kind: "unknown"}
	switch panicked := (*courier.PanicError)(nil); {
	case errors.As(err, &panicked):
		failed.Error = clean(fmt.Sprintf("looking at it panicked: %v", panicked.Value), maxError)
	case errors.Is(err, courier.ErrLate), errors.Is(err, courier.ErrOverloaded),
		errors.Is(err, context.DeadlineExceeded):
		failed.Error = "it does not answer: a function hangs, such as that of courier.WithKeyText"
	default:
		failed.Error = clean(err.Error(), maxError)
	}
	failed.attend("%s", failed.Error)
	return failed
}

// ServeHTTP answers GET and HEAD with a view of all sources or, with the parameter source, of the
// one with that name. The parameter format chooses html, json or text. Without it, clients that
// accept text/html get that, those that accept application/json JSON, and others text.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "debug: want GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	query := r.URL.Query()
	names := query["source"]
	write, content := formatOf(query.Get("format"), r.Header.Values("Accept"))
	if write == nil {
		http.Error(w, "debug: format: want html, json or text", http.StatusBadRequest)
		return
	}
	view := h.Snapshot(r.Context(), names...)
	if len(names) > 0 && len(view.Sources) == 0 {
		http.Error(w, "debug: there is no source of that name", http.StatusNotFound)
		return
	}
	var body bytes.Buffer
	if err := write(&body, view); err != nil {
		http.Error(w, "debug: "+clean(err.Error(), maxError), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", content)
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	if r.Method == http.MethodGet {
		_, _ = body.WriteTo(w)
	}
}

// formatOf returns the function that writes a format, and its media type; nil if it is unknown.
func formatOf(format string, accept []string) (func(*bytes.Buffer, *Snapshot) error, string) {
	if accepted := strings.Join(accept, ","); format == "" {
		switch {
		case strings.Contains(accepted, "text/html"):
			format = "html"
		case strings.Contains(accepted, "application/json"):
			format = "json"
		default:
			format = "text"
		}
	}
	switch format {
	case "html":
		return writeHTML, "text/html; charset=utf-8"
	case "json":
		return writeJSON, "application/json"
	case "text":
		return writeText, "text/plain; charset=utf-8"
	default:
		return nil, ""
	}
}

func writeJSON(to *bytes.Buffer, v *Snapshot) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

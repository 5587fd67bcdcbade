package memory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/table"
	"github.com/snowfence/snowfence/internal/workload"
)

// Params are the parameters of the experiment.
type Params struct {
	Entries   int           `name:"entries" min:"1000" max:"20000000" help:"entries of each store"`
	ValueSize workload.Size `name:"value-size" kind:"size" help:"sizes of values: 100B, uniform:A..B"`
	Keep      float64       `name:"keep" kind:"share" min:"0" max:"1" help:"share of the entries that the shrink leaves"`
	Phase     time.Duration `name:"phase" min:"100ms" max:"1h" help:"length of the churn, and of what follows"`
	Rate      int           `name:"rate" kind:"per-second" min:"100" max:"100000000" help:"operations per second"`
	Stores    []string      `name:"stores" kind:"name,..." choices:"all,map,golang-lru,golang-lru-expirable,snowfence-uncompact,snowfence,snowfence-shed" help:"stores to run: help memory stores"`
	GOGC      []int         `name:"gogc" min:"1" max:"10000" help:"GOGC of runs without a limit"`
	Limits    Limits        `name:"limit" kind:"size,..." help:"GOMEMLIMIT of runs with one, or none"`
	LimitGOGC GOGCs         `name:"limit-gogc" kind:"n,..." help:"GOGC of these, or off"`
	TTL       time.Duration `name:"ttl" min:"0s" max:"1h" help:"TTL of runs with one"`
	Seed      uint64        `name:"seed" help:"settles which keys are asked for"`
}

// The stores.
const (
	Map         = "map"                  // a Go map behind a mutex
	GolangLRU   = "golang-lru"           // hashicorp/golang-lru's simple LRU cache
	Expirable   = "golang-lru-expirable" // hashicorp/golang-lru's cache with a TTL
	Uncompacted = "snowfence-uncompact"  // Options.NoCompaction
	Snowfence   = "snowfence"
	Shedding    = "snowfence-shed" // Options.ShedAbove

	allStores = "all" // in parameters alone
)

// Experiment is "cachebench memory".
var Experiment = &lab.Experiment[Params, Result]{
	Name:  "memory",
	Short: "Fill, churn and shrink a cache, and show what it leaves behind",
	Long: `Memory fills a store with entries, churns it at a steady rate, deletes all but a
part, and goes on with light traffic over what is left. Meanwhile it samples what
the Go runtime says of the heap and of the garbage collector. That is done for each
store with each --gogc; then under each --limit, with each --limit-gogc; and at last
for the stores that have a TTL, with entries that expire instead of being deleted.
Each of these runs in a process of its own.

--check fails if compaction does not leave 3.5 times less, if shedding does not stay
near GOMEMLIMIT, or if it costs more collection than a cache that fills up to it.`,
	Example: `  cachebench memory                                    # a minute and a half
  cachebench memory --check --out out/memory
  cachebench memory --stores map,snowfence --gogc 100 --limit none --ttl 0s
  cachebench memory --limit 100MiB,150MiB --limit-gogc off --gogc 100`,
	Topics: []lab.Topic{
		{Name: "columns", Short: "what the columns of the tables say", Text: lab.Glossaries(columns)},
		{Name: "stores", Short: "which stores there are", Text: stores},
		{Name: "limits", Short: "runs with and without a limit", Text: limits},
	},
	Defaults: defaults,
	Complete: func(p *Params, _ *params.Set) {
		if slices.Contains(p.Stores, allStores) {
			p.Stores = []string{Map, GolangLRU, Expirable, Uncompacted, Snowfence, Shedding}
		}
	},
	Rules: (*Params).rules,
	Run:   Run,
	Page:  page,
	Child: serve,
}

const limits = `
Each store runs with each GOGC of --gogc without a limit; then under each GOMEMLIMIT
of --limit, with each GOGC of --limit-gogc. A limit is a size (100MiB) or a multiple of
what the leanest store has live when it is full (1.5x); none means no such runs. At last
the stores that have a TTL run with entries that expire after --ttl instead of being
deleted; 0 means no such runs.`

const stores = `
map                   a Go map behind a mutex, which evicts the oldest
golang-lru            hashicorp/golang-lru's LRU cache
golang-lru-expirable  and the one that has a TTL: only where entries expire
snowfence-uncompact   Snowfence with tables that never shrink
                      (Options.NoCompaction)
snowfence             Snowfence with its default options
snowfence-shed        Snowfence that gives up entries as memory runs short
                      (Options.ShedAbove)

Compaction saves memory, not processor time: Go's collector runs when the heap has
grown by a share of what is live, so that it costs as much per allocated byte whether
much is live or little. Near a limit it saves time, too, since what is left behind
counts towards it.`

// defaults returns the default parameters. A run with them takes a minute and a half.
func defaults() Params {
	size, err := workload.FixedSize(100)
	if err != nil {
		panic(err) // the argument is a constant
	}
	return Params{
		Entries: 400_000, ValueSize: size, Keep: 0.01, Phase: 900 * time.Millisecond, Rate: 150_000,
		Stores: []string{allStores},
		GOGC:   []int{50, 100, 200}, Limits: Limits{{Times: 1.1}, {Times: 1.5}},
		LimitGOGC: GOGCs{100, Off}, TTL: 2 * time.Second, Seed: 1,
	}
}

func (p *Params) rules(c *params.Checker) {
	c.Check(p.ValueSize.Max() <= 1<<20, "value-size", "must be at most 1MiB, got %s", p.ValueSize)
	c.Check(p.TTL == 0 || p.TTL >= 100*time.Millisecond, "ttl", "must be at least 100ms, or 0, got %v",
		p.TTL)
	c.Unused(len(p.Limits) == 0, "with --limit none no run has a limit", "limit-gogc")
	stores := strings.Join(p.Stores, ",")
	c.Check(p.cells() > 0, "stores", "must have one that suits the runs: %s needs a --ttl, got %s",
		Expirable, stores)
	has := func(store string) bool { return slices.Contains(p.Stores, store) }
	c.Check(!c.Held || has(Uncompacted) && has(Snowfence) || has(Shedding) && len(p.Limits) > 0,
		"stores", "must have %s and %s, or %s and a --limit, for --check: there is nothing to check, "+
			"got %s", Uncompacted, Snowfence, Shedding, stores)
}

// Off is the GOGC with which only the memory limit triggers the collector.
const Off = -1

// GOGCs are values of GOGC, which may include Off.
type GOGCs []int

// MarshalText returns the values with commas between them.
func (g GOGCs) MarshalText() ([]byte, error) {
	words := make([]string, len(g))
	for i, n := range g {
		if words[i] = strconv.Itoa(n); n == Off {
			words[i] = "off"
		}
	}
	return []byte(strings.Join(words, ",")), nil
}

// UnmarshalText parses the format of MarshalText.
func (g *GOGCs) UnmarshalText(text []byte) error {
	*g = nil
	for word := range strings.SplitSeq(string(text), ",") {
		n, err := strconv.Atoi(word)
		if word == "off" {
			n, err = Off, nil
		} else if n < 1 || n > 10_000 {
			err = strconv.ErrRange
		}
		if err != nil || slices.Contains(*g, n) {
			return fmt.Errorf("must be whole numbers from 1 to 10000, or off, each once, got %q", word)
		}
		*g = append(*g, n)
	}
	return nil
}

// leastLimit is an upper bound of the memory that a Go program needs for itself.
const leastLimit = 16 << 20

// A Limit is a GOMEMLIMIT, in bytes or as a multiple of the live bytes of the leanest store when it
// is full.
type Limit struct {
	Bytes params.Bytes
	Times float64 // 0: use Bytes
}

// String returns the limit in the format of the command line.
func (l Limit) String() string {
	if l.Times != 0 {
		return fmt.Sprintf("%gx", l.Times)
	}
	return l.Bytes.String()
}

// of returns the limit in bytes, given the live bytes of the leanest store.
func (l Limit) of(live float64) int64 {
	if l.Times != 0 {
		return max(int64(l.Times*live), leastLimit)
	}
	return int64(l.Bytes) //nolint:gosec // at most 2^50
}

// Limits are any number of limits.
type Limits []Limit

// MarshalText returns the limits with commas between them.
func (l Limits) MarshalText() ([]byte, error) {
	if len(l) == 0 {
		return []byte("none"), nil
	}
	words := make([]string, len(l))
	for i := range l {
		words[i] = l[i].String()
	}
	return []byte(strings.Join(words, ",")), nil
}

// UnmarshalText parses the format of MarshalText.
func (l *Limits) UnmarshalText(text []byte) error {
	*l = nil
	if string(text) == "none" {
		return nil
	}
	for word := range strings.SplitSeq(string(text), ",") {
		var limit Limit
		if times, ok := strings.CutSuffix(word, "x"); ok {
			n, err := strconv.ParseFloat(times, 64)
			if err != nil || !(n >= 1 && n <= 100) {
				return fmt.Errorf("must be a multiple from 1x to 100x, such as 1.5x, got %q", word)
			}
			limit.Times = n
		} else if err := limit.Bytes.UnmarshalText([]byte(word)); err != nil {
			return fmt.Errorf("%w; or a multiple such as 1.5x, or none", err)
		} else if limit.Bytes < leastLimit || limit.Bytes > 1<<50 {
			return fmt.Errorf("must be at least 16MiB, since a Go program needs some for itself, got %s",
				limit.Bytes)
		}
		if slices.Contains(*l, limit) {
			return fmt.Errorf("%s stands there twice", limit)
		}
		*l = append(*l, limit)
	}
	return nil
}

// Run runs all cells, one after the other. If ctx ends, it stops the current cell, and returns the
// earlier ones without an error. If a cell fails, it returns the error and the earlier cells as a
// partial result.
func Run(ctx context.Context, p *Params, e lab.Env) (*Result, error) {
	r := &Result{}
	for _, settings := range []func() []Setting{
		p.unlimited, func() []Setting { return p.limited(r.leanest()) }, p.expiring,
	} {
		err := r.run(ctx, p, e, settings())
		if err != nil && len(r.Cells) == 0 {
			return nil, err
		}
		if err != nil {
			r.Partial = true
			return r, err
		}
	}
	return r, nil
}

// run runs the cells of some settings.
func (r *Result) run(ctx context.Context, p *Params, e lab.Env, settings []Setting) error {
	for _, setting := range settings {
		for _, store := range p.Stores {
			if r.Partial || !setting.suits(store) {
				continue
			}
			if e.Progress != nil {
				e.Progress(float64(len(r.Cells))/float64(p.cells()), setting.String()+"  "+store)
			}
			cell, err := runCell(ctx, e.Child, Job{Store: store, Setting: setting, Params: *p})
			switch {
			case err == nil:
				r.Cells = append(r.Cells, cell)
			case ctx.Err() != nil:
				r.Partial = true
			default:
				return err
			}
		}
	}
	return nil
}

// page returns the page of a result, with a table for each setting.
func page(p *Params, r *Result) *lab.Page {
	var tables []*table.Table
	for _, s := range r.settings(func(Setting) bool { return true }) {
		tables = append(tables, r.table(s))
	}
	return &lab.Page{
		Title: "Memory: what a cache leaves behind",
		Story: "Each store was filled, churned, shrunk to a part, and used lightly after that, in a " +
			"process of its own.",
		Finding: r.Finding(), Seed: &p.Seed, Partial: r.Partial,
		Tables: tables, Glossary: columns, Charts: r.Charts(), Checks: r.Checks(),
	}
}

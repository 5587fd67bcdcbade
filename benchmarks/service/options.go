package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// options holds the command line.
type options struct {
	libraries   []string
	rates       []float64 // rising
	rounds      int
	warm        time.Duration
	duration    time.Duration
	ttl         time.Duration
	timeout     time.Duration
	faults      faults
	connections int
	markdown    bool
	json, svg   string
	from        string
	child       []string // the command of a server's process
}

const help = `Service runs a small HTTP service with each library as its cache and sends it requests
at rising rates. It prints latencies, errors, processor time, memory and queries per request.

The service answers GET /rows/{id} with a row of a SQLite database, in JSON. 10,000 ids are asked
for, zipf 1.0. By default 1 % of the queries take 200 ms more and 0.1 % fail.

For each measurement a new process serves, and this one sends the requests. Each is due at a time
of a schedule, and its latency counts from then, so a slow answer does not hide the wait of the
requests behind it. Each row is stored before the first request, as in a service that has run for
long. A library that no longer keeps up with a rate gets no higher one in that round.

Both processes share the cores. Compare the libraries of one run, on a machine that is idle
otherwise, and not with numbers of other machines.

Flags:
`

// usageText writes the help of -h.
func usageText(f *flag.FlagSet) {
	out := f.Output()
	fmt.Fprint(out, help)
	f.PrintDefaults()
	fmt.Fprintln(out, "\nLibraries:")
	for i := range libraries {
		fmt.Fprintf(out, "  %-18s %s\n", libraries[i].name, libraries[i].what)
	}
	fmt.Fprint(out, `
Examples:
  go run ./service -quick
  go run ./service -libs none,snowfence,otter -rates 2000,4000 -rounds 3
  go run ./service -slow-share 0 -fail-share 0 -svg healthy
  go run ./service -json service.json
  go run ./service -from service.json -markdown
`)
}

func parse(args []string, errOut io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("service", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.Usage = func() { usageText(f) }
	libs := f.String("libs", libraryNames(), "the libraries, with commas between")
	rates := f.String("rates", "1000,4000,8000,12000,16000",
		"requests a second, rising, with commas between")
	f.IntVar(&o.rounds, "rounds", 5,
		"how often each library has its turn at each rate; medians are shown")
	f.DurationVar(&o.warm, "warm-up", 1250*time.Millisecond, "how long requests are sent at a rising "+
		"rate before they are measured; longer than the TTL, so that values have expired")
	f.DurationVar(&o.duration, "duration", 2*time.Second, "how long each measurement takes after that")
	f.DurationVar(&o.ttl, "ttl", time.Second, "how old a value may be")
	f.DurationVar(&o.timeout, "timeout", time.Second, "how long the service gives each request")
	f.DurationVar(&o.faults.Slow, "slow", 200*time.Millisecond, "how much longer a slow query takes")
	f.Float64Var(&o.faults.SlowShare, "slow-share", 0.01, "the share of slow queries")
	f.Float64Var(&o.faults.FailShare, "fail-share", 0.001, "the share of queries that fail")
	f.Uint64Var(&o.faults.Seed, "seed", 1, "of the ids and of the queries that go wrong")
	f.IntVar(&o.connections, "connections", 1000, "the most that are open at a time")
	f.BoolVar(&o.markdown, "markdown", false, "print tables in Markdown")
	f.StringVar(&o.json, "json", "", "write all measurements into this `file`, too")
	f.StringVar(&o.svg, "svg", "", "draw the 99th and the 99.9th percentile over the rate, as SVG "+
		"files in this `folder`, which is made if need be")
	f.StringVar(&o.from, "from", "", "measure nothing: take the results from this `file` of -json")
	quick := f.Bool("quick", false, "one round of 500ms at 1000 and 4000 requests a second: a minute")
	if err := cli.Parse(f, args); err != nil {
		return nil, err
	}
	if err := cli.NoArguments(f, "; libraries are given with -libs"); err != nil {
		return nil, err
	}
	if *quick {
		o.rounds, o.duration, *rates = 1, 500*time.Millisecond, "1000,4000"
	}
	o.libraries = strings.Split(*libs, ",")
	if err := o.parseRates(*rates); err != nil {
		return nil, err
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	o.child = []string{self, childArgument}
	return o, nil
}

func (o *options) parseRates(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		rate, err := strconv.Atoi(part)
		if err != nil || rate < 1 || rate > 1_000_000 ||
			len(o.rates) > 0 && float64(rate) <= o.rates[len(o.rates)-1] {
			return cli.Wrong("rates", text, "rising numbers from 1 to 1000000, with commas between")
		}
		o.rates = append(o.rates, float64(rate))
	}
	return nil
}

func (o *options) validate() error {
	for i, name := range o.libraries {
		if _, ok := findLibrary(name); !ok {
			return cli.Wrong("libs", strconv.Quote(name), "some of "+libraryNames())
		}
		if slices.Contains(o.libraries[:i], name) {
			return cli.Wrong("libs", strconv.Quote(name), "each library once")
		}
	}
	least := o.rates[0]
	switch f := o.faults; {
	case o.rounds < 1 || o.rounds > 1000:
		return cli.Wrong("rounds", o.rounds, "1 to 1000")
	case o.warm < 0 || o.warm > time.Hour:
		return cli.Wrong("warm-up", o.warm, "0s to 1h")
	case o.duration < 100*time.Millisecond || o.duration > time.Hour:
		return cli.Wrong("duration", o.duration, "100ms to 1h")
	case least*o.duration.Seconds() < 100:
		return cli.Wrong("duration", o.duration, fmt.Sprintf("100 requests or more at %v/s", least))
	case o.ttl < 10*time.Millisecond || o.ttl > time.Hour:
		return cli.Wrong("ttl", o.ttl, "10ms to 1h")
	case o.timeout < time.Millisecond || o.timeout > time.Hour:
		return cli.Wrong("timeout", o.timeout, "1ms to 1h")
	case f.Slow < 0 || f.Slow > time.Hour:
		return cli.Wrong("slow", f.Slow, "0s to 1h")
	case !(f.SlowShare >= 0 && f.SlowShare <= 1): // so that NaN is refused
		return cli.Wrong("slow-share", f.SlowShare, "a share from 0 to 1")
	case !(f.FailShare >= 0 && f.FailShare+f.SlowShare <= 1):
		return cli.Wrong("fail-share", f.FailShare, "a share from 0 to 1, with -slow-share at most 1")
	case o.connections < 1 || o.connections > 20_000:
		return cli.Wrong("connections", o.connections, "1 to 20000")
	}
	if o.from != "" {
		if _, err := os.Stat(o.from); err != nil {
			return cli.Wrong("from", o.from, "a file that exists")
		}
	}
	if o.json != "" { // before minutes of work
		if folder, err := os.Stat(filepath.Dir(o.json)); err != nil || !folder.IsDir() {
			return cli.Wrong("json", o.json, "a file in a folder that exists")
		}
	}
	if o.svg != "" {
		if err := os.MkdirAll(o.svg, 0o755); err != nil { //nolint:gosec // pictures are no secret
			return cli.Wrong("svg", o.svg, "a folder: "+err.Error())
		}
	}
	return nil
}

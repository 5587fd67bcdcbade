package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/experiment/run"
	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/progress"
	"github.com/snowfence/snowfence/internal/report"
	"github.com/snowfence/snowfence/internal/trace"
)

// runFlags are the flags of "cachebench run".
type runFlags struct {
	fields *overrides // flags that stand for fields of a scenario

	scenario    string
	keys        string
	mix         string
	traceFormat string
	traceColumn string
	loop        bool

	maxBytes byteCount
	unlinked bool

	warmup      time.Duration
	sampleHits  int
	compareLRU  bool
	minHitRatio float64
	dir         string
}

func newRun(out *output) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run load on an embedded cache and measure it",
		Long: `Run makes a cache and a simulated origin, lets workers read, write and delete,
and prints throughput, hit ratio, origin loads and latencies.

A read is one Cache.Fetch. It turns out to be a
  hit      the value was there
  loaded   the fetch function of this very call ran, and gave the value
  joined   the value came from a load that another call had started
  stale    no load brought a fresh value in time, and the last good one was given
           (--stale-for)
  error    Fetch returned an error, no matter which call had started the load
How that is told apart without disturbing what is measured: a hit does not look
at its context, and a fetch function is given values of the context of the call
that started it. So each call brings a context that notices.

Batches. With --batch N a read asks for N keys with one Cache.FetchMany, and is one
operation: a hit if all of them were there, loaded if its own fetch function ran,
joined if it waited for others' loads alone, and an error if one of its keys has
one. Its latency is that of each of its keys, since they come together. A table
says what became of the keys; the hit ratio and the errors are those of keys. The
origin is asked once for what is missing, and takes as long as for the slowest of
the keys; --fault error fails its keys alone, and any other fault the whole load.
Writes and deletes are of one key in any case.

Closed and open loop. Without --rate each worker starts its next operation when
it is done with the last (closed loop). That measures how much the cache can do.
It does not show how long clients would wait: while a worker is stuck, the
operations that would have come meanwhile are not made, and so not counted as
slow (coordinated omission). With --rate, operations are due at fixed times
whatever becomes of those before them (open loop); any free worker takes the
next one, and its latency counts from when it was due, so that time spent
waiting for a worker is part of it. "Started late" is that part by itself, and
operations that were due but never begun are counted.

Traces. --trace replays a file once, from its beginning to its end, unless
--duration ends it before; --loop begins it again, for --duration. With one
worker the order is exactly the trace's. Unless flags or a scenario say
otherwise a trace is replayed by one worker, as reads, without a TTL, from an
origin that answers at once: what is left is the hit ratio.

What measuring costs is printed with the result: two readings of the clock and
an entry in a histogram per operation. With --sample-hits N only one hit in N
is timed; all other operations always are.

Faults strike the loads of the most popular keys (--fault-keys, --fault-share)
within a window that counts from the end of the warm-up. Without --fault-start
and --fault-end that is from 20 % to 50 % of the duration, or a trace's whole
replay.`,
		Example: `  cachebench run
  cachebench run --keys zipf:1.2 --key-count 1000000 --capacity 100000 --duration 30s
  cachebench run --rate 5000 --workers 64 --fault hang --out out/hang
  cachebench run --batch 50 --rate 200 --key-count 1000000
  cachebench run --trace testdata/traces/small.arc --capacity 500 --compare-lru
  cachebench run --scenario testdata/scenarios/run-default.yaml --ttl 0 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, out) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.fields = newOverrides(flags)
	add := f.fields.add

	flags.StringVar(&f.scenario, "scenario", "",
		"read the run from this `file`; flags override its fields")
	add("seed", "seed", "number", "1", "settles keys, operations, sizes, latencies and faults")
	add("duration", "duration", "duration", "10s", "how long to measure; a trace ends by itself")
	flags.DurationVar(&f.warmup, "warmup", 0, "run for this long before measuring")
	add("workers", "events.workers", "n", "16", "goroutines that run operations; 1 for a trace")
	add("rate", "events.rate", "per-second", "0",
		"operations due per second (open loop); 0: as fast as the workers can (closed loop)")
	add("timeout", "events.timeout", "duration", "2s", "the deadline of each read")
	add("batch", "events.batch", "n", "1", "keys that a read asks for with one call; 1: one at a time")

	flags.StringVar(&f.keys, "keys", "zipf:1.01",
		"which `law` chooses keys: zipf:SKEW, uniform, scan, zipf-scan:SKEW[,SHARE[,LENGTH]]")
	add("key-count", "keys.count", "n", "100000", "how many keys there are")
	add("scramble", "keys.scramble", "bool", "false", "scatter the popular keys over the range")
	flags.Lookup("scramble").NoOptDefVal = "true"
	add("trace", "keys.trace", "file", "", "replay the keys of this file, plain or gzipped")
	flags.StringVar(&f.traceFormat, "trace-format", "auto",
		"the trace's `format`: auto, arc (start count - -), keys (one per line), csv")
	flags.StringVar(&f.traceColumn, "trace-column", "",
		"the key `column` of a CSV trace, by name or number")
	flags.BoolVar(&f.loop, "loop", false, "begin the trace again when it ends; needs --duration")
	flags.StringVar(&f.mix, "mix", "read:95,write:4,delete:1",
		"`weights` of the operations; read:100 for a trace")
	add("value-size", "value.size", "size", "lognormal:256B,4KiB",
		"sizes of values: 100B, uniform:A..B, lognormal:MEDIAN,P99[,LARGEST]")

	add("capacity", "cache.capacity", "n", "10000", "entries that the cache holds")
	flags.Var(&f.maxBytes, "max-bytes",
		"bytes of values that it holds, such as 64MiB; without --capacity, instead of it")
	add("ttl", "cache.ttl", "duration", "1m", "how long an entry lives; 0: for ever, as for a trace")
	add("jitter", "cache.jitter", "share", "0.1",
		"the share of the TTL of which a random part is taken off")
	add("refresh-at", "cache.refresh_at", "share", "0",
		"load an entry that is asked for anew in the background from this share of its TTL on, such as "+
			"0.8; 0: never")
	add("stale-for", "cache.stale_for", "duration", "0s",
		"give values for so long past their TTL if a load fails or is late; 0: never")
	add("soft-timeout", "cache.soft_timeout", "duration", "50ms",
		"how long a read that can have a stale value waits for a load; 0: until it ends")
	add("fetch-timeout", "cache.fetch_timeout", "duration", "1s",
		"how long one load may take; 0: no limit")
	add("max-concurrent", "cache.max_concurrent", "n", "0", "loads at a time; 0: no limit")
	flags.BoolVar(&f.unlinked, "unlinked", false,
		"switch the courier's fix off: a load that dies tells nobody")

	add("origin-latency", "origin.latency", "latency", "lognormal:2ms,20ms",
		"how long a load takes: 5ms, uniform:A..B, exp:MEAN, lognormal:MEDIAN,P99; 0 for a trace")
	add("origin-concurrency", "origin.concurrency", "n", "0",
		"loads the origin serves at a time; 0: no limit")
	add("fault", "fault.kind", "kind", "none",
		"how loads fail: none, panic, goexit, error, hang, child, slow")
	add("fault-keys", "fault.keys", "n", "5", "how many keys fail")
	add("fault-share", "fault.share", "share", "0",
		"fail neighbours in popularity that get this part of all requests; 0: the most popular")
	add("fault-rate", "fault.rate", "share", "1", "the part of these keys' loads that fail")
	add("fault-start", "fault.start", "duration", "",
		"start of the fault window (default: at 20 % of the duration)")
	add("fault-end", "fault.end", "duration", "", "end of the fault window (default: at 50 %)")
	add("fault-slow", "fault.slow", "duration", "1s", "of slow: how much longer a load takes")

	flags.IntVar(&f.sampleHits, "sample-hits", 1, "time one hit in `n` (closed loop)")
	flags.BoolVar(&f.compareLRU, "compare-lru", false,
		"ask plain golang-lru of the same capacity for the same keys, and print its hit ratio too")
	flags.Float64Var(&f.minHitRatio, "min-hit-ratio", 0,
		"fail with exit code 1 if the hit ratio is below this `share`")
	flags.StringVar(&f.dir, "out", "",
		"write report.html, series.csv and result.json into this `folder`")

	completeValues(cmd, "fault", faultNames()...)
	completeValues(cmd, "keys", keyLaws...)
	completeValues(cmd, "trace-format", "auto", "arc", "keys", "csv")
	completeScenario(cmd)
	completeFile(cmd, "trace")
	completeOut(cmd)
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, out *output) error {
	plan, err := f.plan()
	if err != nil {
		return usage(err)
	}
	if err := reportFolder(f.dir); err != nil {
		return err
	}
	line := out.progress()
	plan.config.Observe = func(p run.Progress) { showProgress(line, p) }
	line.Start("run")
	result, failed := run.Run(cmd.Context(), plan.config)
	line.Done()
	if result == nil {
		return failed
	}
	text, err := plan.scenario.YAML()
	if err != nil {
		return err
	}
	done := &runOutput{
		Command:     commandLine(cmd),
		Seed:        plan.scenario.Seed,
		Keys:        plan.keys,
		Capacity:    plan.config.Cache.Capacity,
		Unlinked:    f.unlinked,
		Result:      result,
		Scenario:    string(text),
		environment: report.CurrentEnvironment(),
		plan:        plan,
	}
	if f.compareLRU && result.Operations > 0 {
		done.PlainLRU, err = plan.plainLRU(result)
		failed = errors.Join(failed, err)
	}
	if f.minHitRatio > 0 {
		done.checkHitRatio(f.minHitRatio)
	}
	if result.Interrupted {
		failed = errors.Join(failed,
			fmt.Errorf("interrupted after %s; the result is of what was done until then",
				human.Duration(result.Elapsed.Duration())))
	}
	return out.conclude(done, f.dir, failed, false, done.Checks)
}

func showProgress(line *progress.Line, p run.Progress) {
	switch {
	case p.Warming:
		line.Update(0, "warming up")
		return
	case p.Finishing:
		line.Update(min(p.Fraction, 0.999), "no operation begins any more")
		return
	}
	//nolint:gosec // a count
	text := fmt.Sprintf("%s operations, %s", human.Count(int64(p.Operations)), human.Rate(p.PerSecond))
	if !math.IsNaN(p.HitRatio) {
		text += ", hit ratio " + human.Percent(p.HitRatio)
	}
	line.Update(p.Fraction, text)
}

// loadTrace reads the trace at path. Its errors name the flag or the file and
// line.
func (f *runFlags) loadTrace(path string) (*trace.Trace, error) {
	o := trace.Options{Column: f.traceColumn}
	if err := o.Format.UnmarshalText([]byte(f.traceFormat)); err != nil {
		return nil, fmt.Errorf("--trace-format: %w", err)
	}
	t, err := trace.Load(path, o)
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("trace %s: %w", path, missing.Err)
	}
	return t, err // it has the file's name, and the line if that is wrong
}

func faultNames() []string {
	var names []string
	for _, kind := range origin.FaultKinds() {
		names = append(names, kind.String())
	}
	return names
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/snowfence/snowfence/benchmarks/internal/cli"
)

// run measures everything and appends results to the file raw as they come.
func (p *plan) run(ctx context.Context, raw string) error {
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "benchmarks.test")
	//nolint:gosec // our own path
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c (in the folder benchmarks?): %w\n%s", err, out)
	}
	names, err := p.list(ctx, binary)
	if err != nil {
		return err
	}
	file, err := os.Create(raw) //nolint:gosec // the user's choice
	if err != nil {
		return err
	}
	defer file.Close()
	began := time.Now()
	done, all := 0, p.rounds*len(names)*len(p.libs)
	for round := range p.rounds {
		for _, name := range names {
			for at := range p.libs {
				// Each round begins with another library.
				lib := p.libs[(at+round)%len(p.libs)]
				if err := p.measure(ctx, binary, name, lib, file); err != nil {
					return err
				}
				done++
				fmt.Fprintf(os.Stderr, "\r\x1b[K%3d %%  round %d of %d  %s %s  %v", 100*done/all, round+1,
					p.rounds, name, lib,
					time.Since(began).Round(time.Second))
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	return file.Close()
}

// list returns the benchmarks to run.
func (p *plan) list(ctx context.Context, binary string) ([]string, error) {
	//nolint:gosec // what was just built
	out, err := exec.CommandContext(ctx, binary, "-test.list", "^Benchmark").Output()
	if err != nil {
		return nil, err
	}
	want := regexp.MustCompile(p.bench)
	var names []string
	for name := range strings.FieldsSeq(string(out)) {
		if want.MatchString(strings.TrimPrefix(name, "Benchmark")) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: -bench: %s: no benchmark has such a name; there are: %s",
			cli.ErrUsage, p.bench, strings.Join(strings.Fields(string(out)), " "))
	}
	return names, nil
}

// measure runs one benchmark of one library in a process of its own.
func (p *plan) measure(ctx context.Context, binary, name, lib string, to io.Writer) error {
	cpu, benchtime := p.cpu, p.benchtime
	if name == "BenchmarkMemory" { // an operation is the whole life of a cache, on all cores
		cpu, benchtime = cpu[strings.LastIndexByte(cpu, ',')+1:], "1x"
	}
	//nolint:gosec // what was just built
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", "^"+name+"$",
		"-test.benchmem", "-test.cpu", cpu, "-test.benchtime", benchtime, "-test.timeout", "10m")
	cmd.Env = append(os.Environ(), "BENCHMARK_LIB="+lib)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s of %s: %w\n%s%s", name, lib, err, out.String(), errs.String())
	}
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "\t") && strings.HasPrefix(line, "Benchmark") {
			if _, err := io.WriteString(to, line); err != nil {
				return err
			}
		}
	}
	return nil
}

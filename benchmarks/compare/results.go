package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// A measurement is one unit of one benchmark, for all libraries.
type measurement struct {
	bench string // the name without the library, such as "Hit/keys=int/ttl=0s-2"
	unit  string
	libs  []string             // in the order in which they came
	by    map[string][]float64 // library to one value per round
}

// results are the measurements in the order in which they came.
type results struct {
	list  []*measurement
	index map[[2]string]*measurement
}

func readResults(path string) (*results, error) {
	file, err := os.Open(path) //nolint:gosec // the user's choice
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := &results{index: map[[2]string]*measurement{}}
	reader := benchfmt.NewReader(file, path)
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			r.add(record)
		case *benchfmt.SyntaxError:
			if !strings.Contains(record.Error(), "SKIP") {
				return nil, record
			}
		}
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	if len(r.list) == 0 {
		return nil, fmt.Errorf("%s: %w", path, errNoResults)
	}
	return r, nil
}

var errNoResults = errors.New("there is no result of a benchmark in it")

// add adds a result to its measurements.
func (r *results) add(result *benchfmt.Result) {
	bench, lib, ok := splitName(string(result.Name))
	if !ok {
		return
	}
	for _, v := range result.Values {
		unit := v.Unit
		if unit == "sec/op" && v.Value == 0 {
			continue // the benchmark has other units
		}
		key := [2]string{bench, unit}
		m := r.index[key]
		if m == nil {
			m = &measurement{bench: bench, unit: unit, by: map[string][]float64{}}
			r.index[key] = m
			r.list = append(r.list, m)
		}
		if m.by[lib] == nil {
			m.libs = append(m.libs, lib)
		}
		m.by[lib] = append(m.by[lib], v.Value)
	}
}

// splitName splits a benchmark's name into the library and the rest.
func splitName(name string) (bench, lib string, ok bool) {
	before, after, ok := strings.Cut(name, "/lib=")
	if !ok {
		return "", "", false
	}
	lib, cores := after, ""
	if at := strings.LastIndexByte(after, '-'); at >= 0 && isNumber(after[at+1:]) {
		lib, cores = after[:at], after[at:]
	}
	if cores == "" {
		cores = "-1"
	}
	return strings.TrimPrefix(before, "Benchmark") + cores, lib, true
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// A ratio is a library's value as a multiple of ours: the median of the rounds and the extremes.
type ratio struct{ median, low, high float64 }

// against returns the ratio of lib's values to ours, computed within rounds.
func (m *measurement) against(lib string) (ratio, bool) {
	var all []float64
	for i, v := range m.by[lib] {
		if i < len(m.by[ours]) && m.by[ours][i] > 0 {
			all = append(all, v/m.by[ours][i])
		}
	}
	if len(all) == 0 {
		return ratio{}, false
	}
	return ratio{median(all), slices.Min(all), slices.Max(all)}, true
}

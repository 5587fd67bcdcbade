package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/origin"
)

const dir = "../../testdata/scenarios"

func shipped(t *testing.T) map[string]*Scenario {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(t, err)
	all := make(map[string]*Scenario)
	for _, path := range paths {
		if strings.HasPrefix(filepath.Base(path), "registry-") {
			continue // they are of the form of that experiment
		}
		s, err := Load(path)
		require.NoError(t, err)
		require.NotEmpty(t, s.Description, path)
		all[filepath.Base(path)] = s
	}
	return all
}

func TestShippedScenarios(t *testing.T) {
	all := shipped(t)
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	for name, s := range all {
		require.Equal(t, strings.TrimSuffix(name, ".yaml"), s.Name)
		require.Contains(t, string(readme), "| `"+name+"` |", "the README has no row for it")

		space, err := s.NewSpace(nil, false)
		require.NoError(t, err)
		c, share, err := s.OriginConfig(space)
		require.NoError(t, err)
		require.Equal(t, s.Fault.Kind, c.Fault.Kind)
		if s.Fault.Kind == origin.FaultNone {
			continue
		}
		// What the expectations rest on.
		require.InDelta(t, 0.05, share, 0.005, name)
		if s.Expect.HealthyDropOff > 0 {
			blocked := s.Events.Rate * share * s.Events.Timeout.Seconds()
			require.Greater(t, blocked, 2*float64(s.Events.Workers), "%s: the pool would not fill", name)
		}
		if n := s.Cache.MaxWaitingPerKey; n > 0 {
			require.Less(t, n*s.Fault.Keys, s.Events.Workers, "%s: no worker would be left for others", name)
		}
		require.Positive(t, s.Expect.HealthyDropOn+s.Expect.Alike, "%s expects nothing", name)
	}
	slow := all["snowball-slow.yaml"]
	require.Equal(t, []int{20, 32, 1},
		[]int{slow.Fault.Keys, slow.Events.Workers, slow.Cache.MaxWaitingPerKey})
	require.Equal(t, 0.01, slow.Expect.HealthyDropOn)
	for _, kind := range []string{"panic", "goexit", "error", "hang", "child", "slow"} {
		s := all["snowball-"+kind+".yaml"]
		require.NotNil(t, s, kind)
		require.Equal(t, kind, s.Fault.Kind.String())
	}
	require.Zero(t, all["none.yaml"].Fault.Rate)
	for _, name := range []string{"smoke.yaml", "run-default.yaml", "burst-shrink.yaml"} {
		require.NotNil(t, all[name], name)
	}
}

// The README names the ranks that fail in the snowball.
func TestReadmeNamesTheKeysThatFail(t *testing.T) {
	s := shipped(t)["snowball-panic.yaml"]
	space, err := s.NewSpace(nil, false)
	require.NoError(t, err)
	keys, share, err := space.Targets(s.Fault.Keys, s.Fault.Share)
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	text := strings.Join(strings.Fields(string(readme)), " ")
	require.Contains(t, text, fmt.Sprintf("the ranks %d to %d, which get %.1f %% of the requests",
		keys[0]+1, keys[4]+1, 100*share))
}

// leaves returns every field's path with its value.
func leaves(v reflect.Value, path string) (paths []string, values []reflect.Value) {
	for _, name := range fieldNames(v.Type()) {
		f, ok := fieldByName(v, name)
		if !ok {
			panic(name)
		}
		if isSection(f.Type()) {
			p, vs := leaves(f, join2(path, name))
			paths, values = append(paths, p...), append(values, vs...)
			continue
		}
		paths, values = append(paths, join2(path, name)), append(values, f)
	}
	return paths, values
}

// The table in the README and the code name the same fields, in the same order,
// with the same types and defaults.
func TestReadmeDocumentsEveryField(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(readme), "\n## Fields\n")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "\n## ")
	require.True(t, ok)
	row := regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| (.+?) \\| (.*?) ?\\| (.+) \\|$")
	var documented, coded []string
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		documented = append(documented, fmt.Sprintf("%s (%s), default %q", m[1], m[2], m[3]))
		require.NotEmpty(t, m[4])
	}
	paths, values := leaves(reflect.ValueOf(Default()).Elem(), "")
	for i, v := range values {
		value := fmt.Sprint(v.Interface())
		name := map[string]string{
			"time.Duration": "duration", "workload.Size": "size", "workload.Latency": "latency",
			"workload.KeyKind": "kind", "origin.FaultKind": "kind",
			"scenario.Kind": "kind",
		}[v.Type().String()]
		if name == "" {
			name = describeType(v.Type())
			if v.CanUint() {
				name = "whole number ≥ 0"
			}
			name = strings.TrimPrefix(name, "a ")
		}
		coded = append(coded, fmt.Sprintf("%s (%s), default %q", paths[i], name, value))
	}
	require.Equal(t, coded, documented)
	require.Greater(t, len(coded), 30)
}

// No description of a scenario may promise a field that does not exist: the
// comments of the files are read by people only, so look for paths in them.
func TestCommentsNameFieldsThatExist(t *testing.T) {
	paths, _ := leaves(reflect.ValueOf(Default()).Elem(), "")
	path := regexp.MustCompile(`\b(events|keys|mix|value|cache|origin|fault|expect)\.[a-z_]+`)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, p := range path.FindAllString(string(text), -1) {
			require.True(t, slices.Contains(paths, p) || p == "events.ratee", "%s names %s", file, p)
		}
	}
}

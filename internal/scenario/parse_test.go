package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/workload"
)

// plain is the scenario without where it came from, to compare.
func plain(s *Scenario) Scenario {
	c := *s
	c.source = nil
	return c
}

func TestParse(t *testing.T) {
	s, err := Parse("dir/x.yaml", []byte(`
name: all
description: "every kind of field"
seed: 18446744073709551615
duration: 1m30s
events: {rate: 0.5, until: 1m, workers: 2, queue: 3, timeout: 4s, batch: 12}
keys:
  kind: zipf-scan
  count: 10
  skew: 2
  scan_share: 0.25
  scan_length: 4
  scramble: true
mix: {read: 1, write: 2, delete: 3}
value: {size: 100}
cache:
  {capacity: 6, ttl: 5s, jitter: 0, fetch_timeout: 0s, max_concurrent: 7, max_abandoned: 9, max_waiting_per_key: 11,
  stale_for: 13s, soft_timeout: 14s, refresh_at: 0.5}
origin: {latency: exp:5ms, concurrency: 8}
fault: {kind: slow, keys: 2, share: 0.5, rate: 0.1, start: 1s, end: 2s, slow: 3s}
expect: {healthy_drop_off: 0.1, healthy_drop_on: 0.2, learn_within: 1ms}
`))
	require.NoError(t, err)
	var latency workload.Latency
	require.NoError(t, latency.UnmarshalText([]byte("exp:5ms")))
	size, err := workload.FixedSize(100)
	require.NoError(t, err)
	require.Equal(t, Scenario{
		Name: "all", Description: "every kind of field", Seed: 18446744073709551615,
		Duration: 90 * time.Second,
		Events: Events{Rate: 0.5, Until: time.Minute, Workers: 2, Queue: 3, Timeout: 4 * time.Second,
			Batch: 12},
		Keys: Keys{Kind: workload.KindZipfScan, Count: 10, Skew: 2, ScanShare: 0.25, ScanLength: 4,
			Scramble: true},
		Mix:   Mix{1, 2, 3},
		Value: Value{Size: size},
		Cache: Cache{
			Capacity: 6, TTL: 5 * time.Second, MaxConcurrent: 7, MaxAbandoned: 9, MaxWaitingPerKey: 11,
			StaleFor: 13 * time.Second, SoftTimeout: 14 * time.Second, RefreshAt: 0.5,
		},
		Origin: Origin{Latency: latency, Concurrency: 8},
		Fault: Fault{Kind: origin.FaultSlow, Keys: 2, Share: 0.5, Rate: 0.1, Start: time.Second,
			End: 2 * time.Second, Slow: 3 * time.Second},
		Expect: Expect{HealthyDropOff: 0.1, HealthyDropOn: 0.2, LearnWithin: time.Millisecond},
	}, plain(s))
}

func TestDefaultsAndName(t *testing.T) {
	require.NoError(t, Default().Validate())
	s, err := Parse("some/where.yaml", []byte("{}"))
	require.NoError(t, err)
	want := Default()
	want.Name = "where"
	require.Equal(t, *want, plain(s))
}

func TestParseJSON(t *testing.T) {
	s, err := Parse("x.json", []byte(
		`{"seed": 7, "events": {"rate": 10, "timeout": "1s"}, "keys": {"scramble": true}}`))
	require.NoError(t, err)
	require.Equal(t, uint64(7), s.Seed)
	require.Equal(t, time.Second, s.Events.Timeout)
	require.True(t, s.Keys.Scramble)
}

func TestYAMLRoundTrip(t *testing.T) {
	all := shipped(t)
	traced := Default()
	traced.Name, traced.Keys.Kind, traced.Keys.Trace = "traced", workload.KindTrace, "/a/b.arc"
	scanned := Default()
	scanned.Name, scanned.Keys.Kind, scanned.Keys.ScanLength = "scanned", workload.KindZipfScan, 9
	all["traced.yaml"], all["scanned.yaml"] = traced, scanned
	for name, s := range all {
		text, err := s.YAML()
		require.NoError(t, err)
		again, err := Parse(name, text)
		require.NoError(t, err)
		want := plain(s)
		if s.Keys.Kind == workload.KindUniform || s.Keys.Kind == workload.KindScan ||
			s.Keys.Kind == workload.KindTrace {
			want.Keys.Skew = Default().Keys.Skew // has no meaning, so it is not written
		}
		require.Equal(t, want, plain(again))
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "x.yaml:1: is empty"},
		{"only a comment", "# nothing\n", "x.yaml:1: is empty"},
		{"null", "~\n", "x.yaml:1: must be a mapping of fields, got nothing"},
		{"a list", "- seed: 1\n", "x.yaml:1: must be a mapping of fields, got a list"},
		{"a scalar", "hello", `x.yaml:1: must be a mapping of fields, got "hello"`},
		{"unknown field", "seed: 1\nevents:\n  ratee: 5\n",
			"x.yaml:3: events.ratee: unknown field (did you mean rate?)"},
		{"unknown section", "\ncahce: {}\n", "x.yaml:2: cahce: unknown field (did you mean cache?)"},
		{"unknown and like nothing", "workload: {}\n", "x.yaml:1: workload: unknown field"},
		{"unknown, unprintable", "\"a\\x01\": 1\n", `x.yaml:1: "a\x01": unknown field`},
		{"merge key", "<<: {seed: 1}\n", "x.yaml:1: <<: unknown field"},
		{"twice", "seed: 1\nname: a\nseed: 2\n", "x.yaml:3: seed: stands there twice, first on line 1"},
		{"twice, nested", "keys: {skew: 1, skew: 2}\n",
			"x.yaml:1: keys.skew: stands there twice, first on line 1"},
		{"list as a name", "? [a]\n: 1\n",
			"x.yaml:1: the name of a field must be plain text, got a list"},
		{"number as text", "name: 12\n", "x.yaml:1: name: must be text, got 12; quote it"},
		{"text as number", "\nseed: many\n",
			`x.yaml:2: seed: must be a whole number from 0 to 18446744073709551615, got "many"`},
		{"quoted number", "seed: '1'\n",
			`x.yaml:1: seed: must be a whole number from 0 to 18446744073709551615, got "1"`},
		{"negative unsigned", "seed: -1\n",
			"x.yaml:1: seed: must be a whole number from 0 to 18446744073709551615, got -1"},
		{"fraction", "cache: {capacity: 1.5}\n",
			"x.yaml:1: cache.capacity: must be a whole number, got 1.5"},
		{"octal", "cache: {capacity: 0x10}\n",
			"x.yaml:1: cache.capacity: must be a whole number, got 0x10"},
		{"weight too big", "mix: {read: 4294967296}\n",
			"x.yaml:1: mix.read: must be a whole number from 0 to 4294967295, got 4294967296"},
		{"not a number", "events: {rate: .nan}\n", "x.yaml:1: events.rate: must be a number, got .nan"},
		{"infinite", "events: {rate: .inf}\n", "x.yaml:1: events.rate: must be a number, got .inf"},
		{"yes", "keys: {scramble: yes}\n", `x.yaml:1: keys.scramble: must be true or false, got "yes"`},
		{"duration without unit", "duration: 8\n",
			"x.yaml:1: duration: must be a duration such as 250ms, got 8"},
		{"nothing", "duration:\n", "x.yaml:1: duration: must be a duration such as 250ms, got nothing"},
		{"empty section", "keys:\n", "x.yaml:1: keys: must be a mapping of fields, got nothing"},
		{"section for a value", "seed: {a: 1}\n",
			"x.yaml:1: seed: must be a whole number from 0 to 18446744073709551615, got a mapping"},
		{"kind of keys", "keys: {kind: zipff}\n",
			`x.yaml:1: keys.kind: "zipff": must be one of zipf, uniform, scan, zipf-scan, trace`},
		{"kind of fault", "fault:\n  kind: crash\n",
			`x.yaml:2: fault.kind: "crash": must be one of none, panic, goexit, error, hang, child, slow`},
		{"latency", "origin: {latency: 5}\n",
			`x.yaml:1: origin.latency: latency "5": "5" is not a duration such as 5ms`},
		{"size", "value: {size: big}\n",
			`x.yaml:1: value.size: size "big": "big" is not a size such as 100B or 4KiB`},
		{"alias", "seed: &a 1\ncache: {capacity: *a}\n",
			"x.yaml:1: seed: anchors and aliases are not allowed\nx.yaml:2: cache.capacity: anchors and " +
				"aliases are not allowed"},
		{"tag", "seed: !!int '1'\n", "x.yaml:1: seed: tags such as !!int are not allowed"},
		{"two documents", "seed: 1\n---\nseed: 2\n",
			"x.yaml:2: a second document; a file holds one scenario"},
		{"no YAML", "seed: 1\nkeys: {\n", "x.yaml:2: is not YAML: did not find expected node content"},

		{"skew", "keys:\n  skew: -1\n", "x.yaml:2: keys.skew: must be > 0, got -1"},
		{"skew of uniform", "keys: {kind: uniform, skew: 1}\n",
			"x.yaml:1: keys.skew: has no meaning for uniform keys"},
		{"count of a trace", "keys: {kind: trace, trace: a, count: 3}\n",
			"x.yaml:1: keys.count: has no meaning for trace keys"},
		{"trace without path", "keys: {kind: trace}\n",
			"x.yaml:1: keys.trace: must be given for trace keys"},
		{"capacity", "cache: {capacity: -1}\n", "x.yaml:1: cache.capacity: must be at least 1, got -1"},
		{"callers of a key", "cache: {max_waiting_per_key: -1}\n",
			"x.yaml:1: cache.max_waiting_per_key: must not be negative, got -1"},
		{"stale before its time", "cache: {stale_for: -1s}\n",
			"x.yaml:1: cache.stale_for: must not be negative, got -1s"},
		{"impatient", "cache: {soft_timeout: -1s}\n",
			"x.yaml:1: cache.soft_timeout: must not be negative, got -1s"},
		{"refreshed before", "cache: {refresh_at: -0.1}\n",
			"x.yaml:1: cache.refresh_at: must be at least 0 and below 1, got -0.1"},
		{"refreshed too late", "cache: {refresh_at: 1}\n",
			"x.yaml:1: cache.refresh_at: must be at least 0 and below 1, got 1"},
		{"stale without an end", "cache: {ttl: 0s, stale_for: 1s}\n",
			"x.yaml:1: cache.stale_for: has no meaning without cache.ttl: no value ever becomes stale"},
		{"a share of nothing", "cache: {ttl: 0s, refresh_at: 0.5}\n",
			"x.yaml:1: cache.refresh_at: has no meaning without cache.ttl: it is a share of that"},
		{"an empty batch", "events: {batch: 0}\n",
			"x.yaml:1: events.batch: must be from 1 to 100000, got 0"},
		{"a huge batch", "events: {batch: 100001}\n",
			"x.yaml:1: events.batch: must be from 1 to 100000, got 100001"},
		{"workers", "events: {workers: 0}\n",
			"x.yaml:1: events.workers: must be from 1 to 100000, got 0"},
		{"mix", "mix: {read: 0}\n", "x.yaml:1: mix: at least one of read, write and delete must be " +
			"above 0"},
		{"jitter", "cache: {jitter: 1}\n",
			"x.yaml:1: cache.jitter: must be at least 0 and below 1, got 1"},
		{"duration 0", "duration: 0s\n",
			"x.yaml:1: duration: must be above 0 and at most 24h0m0s, got 0s"},
		{"window backwards", "fault: {kind: panic, start: 3s, end: 1s}\n",
			"x.yaml:1: fault.end: must be after fault.start (3s), got 1s"},
		{"window too late", "duration: 3s\nfault:\n  kind: panic\n",
			"x.yaml:2: fault.end: must be at most duration (3s), got 5s"},
		{"more keys than there are", "keys: {count: 3}\nfault: {kind: panic, keys: 4}\n",
			"x.yaml:2: fault.keys: must be at most keys.count (3), got 4"},
		{"share of uniform", "keys: {kind: uniform}\nfault: {kind: panic, share: 0.1}\n",
			"x.yaml:2: fault.share: has no meaning for uniform keys (keys.kind), which are all alike"},
		{"contradiction", "expect: {alike: 0.1, healthy_drop_off: 0.5}\n",
			"x.yaml:1: expect.alike: contradicts expect.healthy_drop_off: runs that are alike differ in " +
				"nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse("x.yaml", []byte(tt.text))
			require.EqualError(t, err, tt.want)
			require.Nil(t, s)
			var field *FieldError
			require.ErrorAs(t, err, &field)
			require.Equal(t, "x.yaml", field.File)
			require.Positive(t, field.Line)
		})
	}
}

func TestAllErrorsAreReported(t *testing.T) {
	_, err := Parse("x.yaml", []byte(
		"seed: x\nevents:\n  ratee: 1\n  workers: -1\nkeys:\n  skew: 0\n  skew: 1\n"))
	require.EqualError(t, err, strings.Join([]string{
		`x.yaml:1: seed: must be a whole number from 0 to 18446744073709551615, got "x"`,
		"x.yaml:3: events.ratee: unknown field (did you mean rate?)",
		"x.yaml:4: events.workers: must be from 1 to 100000, got -1",
		"x.yaml:6: keys.skew: must be > 0, got 0",
		"x.yaml:7: keys.skew: stands there twice, first on line 6",
	}, "\n"))
	_, err = Parse("x.yaml", []byte(strings.Repeat("bad: 1\n", 100)))
	require.Len(t, strings.Split(err.Error(), "\n"), maxErrors+1)
	require.ErrorContains(t, err, "x.yaml:51: 50 more errors from here on")
}

// Nine levels of ten aliases each would stand for a billion nodes.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n")
	for _, l := range "123456789" {
		prev := string(l - 1)
		b.WriteString("a" + string(l) + ": &a" + string(l) + " [" +
			strings.TrimSuffix(strings.Repeat("*a"+prev+",", 10), ",") + "]\n")
	}
	b.WriteString("seed: *a9\n")
	_, err := Parse("x.yaml", []byte(b.String()))
	require.ErrorContains(t, err, "x.yaml:11: seed: anchors and aliases are not allowed")
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	require.NoError(t, os.WriteFile(path, []byte("keys: {kind: trace, trace: a.arc}\n"), 0o600))
	s, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, "mine", s.Name)
	require.Equal(t, filepath.Join(filepath.Dir(path), "a.arc"), s.TracePath(),
		"starts at the file's folder")
	require.Equal(t, s.TracePath(), s.Spec().Path)
	require.NoError(t, s.Set("keys.trace", "b.arc"))
	require.Equal(t, "b.arc", s.TracePath(), "starts at the current folder")

	_, err = Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(path, []byte("#"+strings.Repeat("x", MaxFileSize)), 0o600))
	_, err = Load(path)
	require.EqualError(t, err, path+":1: is over the limit of 65536 bytes")
}

func TestSet(t *testing.T) {
	s, err := Parse("x.yaml", []byte("seed: 5\nkeys:\n  skew: 1.2\n"))
	require.NoError(t, err)
	for field, value := range map[string]string{
		"keys.kind": "uniform", "seed": "9", "name": "12", "duration": "6s", "keys.scramble": "true",
		"origin.latency": "exp:1ms", "cache.jitter": "0.5", "mix.write": "3", "cache.capacity": "44",
		"description": "",
	} {
		require.NoError(t, s.Set(field, value), field)
	}
	require.NoError(t, s.Validate(), "the file's skew is no mistake once a flag changed the kind")
	require.Equal(t, workload.KeySpec{Kind: workload.KindUniform}, s.Spec())
	require.Equal(t, uint64(9), s.Seed)
	require.Equal(t, "12", s.Name)
	require.Equal(t, 44, s.Cache.Capacity)
	require.Equal(t, workload.Mix{Read: 100, Write: 3}, s.Operations())

	// What a flag gave is not blamed on the file; what the file gave still is.
	require.NoError(t, s.Set("cache.capacity", "-1"))
	require.EqualError(t, s.Validate(), "cache.capacity: must be at least 1, got -1")
	s.Keys.Skew = -2
	require.EqualError(t, s.Validate(),
		"cache.capacity: must be at least 1, got -1\nx.yaml:3: keys.skew: must be > 0, got -2")

	require.EqualError(t, s.Set("keys.scew", "1"), "keys.scew: unknown field (did you mean skew?)")
	require.EqualError(t, s.Set("keys.skew.x", "1"), "keys.skew.x: unknown field")
	require.EqualError(t, s.Set("mix", "1"),
		"mix: is a section; set one of its fields: read, write, delete")
	require.EqualError(t, s.Set("duration", "x"),
		`duration: must be a duration such as 250ms, got "x"`)
	require.EqualError(t, s.Set("seed", ""),
		"seed: must be a whole number from 0 to 18446744073709551615, got nothing")

	fresh := Default()
	require.NoError(t, fresh.Set("events.rate", "0"))
	require.Zero(t, fresh.Events.Rate)
	require.NoError(t, fresh.Validate())
}

func TestOriginConfig(t *testing.T) {
	s := Default()
	require.NoError(t, s.Set("fault.kind", "panic"))
	require.NoError(t, s.Set("fault.share", "0.05"))
	space, err := s.NewSpace(nil, false)
	require.NoError(t, err)
	c, share, err := s.OriginConfig(space)
	require.NoError(t, err)
	require.InDelta(t, 0.05, share, 0.003)
	failing := 0
	for k := range space.Count() {
		if c.Fault.Match(k) {
			failing++
		}
	}
	require.Equal(t, 5, failing)
	o, err := origin.New(c)
	require.NoError(t, err)
	require.NoError(t, o.Close())

	s = Default()
	require.NoError(t, s.Set("keys.kind", "trace"))
	require.NoError(t, s.Set("keys.trace", "x"))
	require.NoError(t, s.Set("fault.kind", "error"))
	require.NoError(t, s.Set("fault.keys", "4"))
	require.NoError(t, s.Validate())
	space, err = s.NewSpace([]uint32{0, 1, 1}, true)
	require.NoError(t, err)
	_, _, err = s.OriginConfig(space)
	require.EqualError(t, err, "fault.keys: must be from 1 to 2, which is all keys that there are, "+
		"got 4")
}

func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(f, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(text)
	}
	for _, s := range []string{"", "{}", "a: &a [*a]", "<<: *x", "? {a: b}\n: c",
		"seed: !!binary aGk=", "seed: 1\nseed: 2", "---\n---\n", `{"events":{"rate":1e3}}`,
		"keys: {skew: .nan}", "\xff\xfe", "a: |\n  b\n", "%YAML 1.2\n---\nseed: 1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("x.yaml", text)
		if err != nil {
			var field *FieldError
			if !errors.As(err, &field) || field.File != "x.yaml" || field.Line < 1 || field.Reason == "" {
				t.Fatalf("an error without its place: %v", err)
			}
			if s != nil {
				t.Fatal("a scenario and an error")
			}
			return
		}
		// What was accepted can be used.
		if err := s.Validate(); err != nil {
			t.Fatalf("accepted and invalid: %v", err)
		}
		if s.Keys.Kind == workload.KindTrace || s.Keys.Count > 1000 {
			return
		}
		text, err = s.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("x.yaml", text); err != nil {
			t.Fatalf("what it writes it does not read: %v", err)
		}
		space, err := s.NewSpace(nil, false)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := s.OriginConfig(space)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Fault.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

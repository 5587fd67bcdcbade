package workload

import (
	"encoding"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// text is implemented by all types with a text form.
type text interface {
	encoding.TextUnmarshaler
	encoding.TextMarshaler
	fmt.Stringer
}

var textKinds = map[string]func() text{
	"latency": func() text { return new(Latency) },
	"size":    func() text { return new(Size) },
	"keys":    func() text { return new(KeySpec) },
	"mix":     func() text { return new(Mix) },
}

// goodTexts are parsed, and print as the second text or, if that is empty, unchanged.
var goodTexts = map[string][][2]string{
	"latency": {
		{"5ms", ""}, {"0s", ""}, {"fixed:1.5s", "1.5s"}, {"uniform:1ms..10ms", ""}, {"exp:5ms", ""},
		{"lognormal:5ms,50ms", ""}, {"lognormal:5ms,5ms", ""}, {"1h", "1h0m0s"},
	},
	"size": {
		{"100", "100B"}, {"fixed:4KiB", "4KiB"}, {"64MiB", ""}, {"1kB", "1000B"}, {"2MB", "2000000B"},
		{"0", "0B"},
		{"uniform:64B..4KiB", ""}, {"lognormal:256B,4KiB", ""}, {"lognormal:256B,4KiB,64KiB", ""},
	},
	"keys": {
		{"zipf:1.01", ""}, {"zipf:0.99", ""}, {"uniform", ""}, {"scan", ""}, {"zipf-scan:1.01", ""},
		{"zipf-scan:1.01,0.5", ""}, {"zipf-scan:1.01,0,20", ""},
	},
	"mix": {{"read:90,write:9,delete:1", ""}, {"read:1", "read:1,write:0,delete:0"},
		{" write:2 , read: 1", "read:1,write:2,delete:0"}},
}

var badTexts = map[string][][2]string{
	"latency": {
		{"", `latency "": "" is not a duration such as 5ms`},
		{"5", `latency "5": "5" is not a duration such as 5ms`},
		{"-5ms", `latency "-5ms": -5ms: must be from 0 to 1h0m0s`},
		{"2h", `latency "2h": 2h0m0s: must be from 0 to 1h0m0s`},
		{"normal:5ms", `latency "normal:5ms": unknown distribution "normal"`},
		{"uniform:5ms", `latency "uniform:5ms": a range such as 1..10 must follow the name uniform`},
		{"uniform:5ms..1ms", `latency "uniform:5ms..1ms": the range 5ms..1ms runs backwards`},
		{"exp:x", `latency "exp:x": "x" is not a duration such as 5ms`},
		{"lognormal:5ms", `latency "lognormal:5ms": a median and a 99th percentile must follow the name lognormal`},
		{"lognormal:5ms,1ms", `latency "lognormal:5ms,1ms": the 99th percentile 1ms is below the median 5ms`},
		{"lognormal:0s,1ms", `latency "lognormal:0s,1ms": the median must be above 0`},
		{"lognormal:1ms,2ms,3ms", `latency "lognormal:1ms,2ms,3ms": lognormal takes a median and a 99th percentile`},
	},
	"size": {
		{"", `size "": "" is not a size such as 100B or 4KiB`},
		{"-1", `size "-1": "-1" is not a size such as 100B or 4KiB`},
		{"65MiB", `size "65MiB": 65MiB: must be from 0 to 67108864 bytes`},
		{"exp:1kB", `size "exp:1kB": exp is not a distribution of sizes`},
		{"uniform:2B..1B", `size "uniform:2B..1B": the range 2..1 runs backwards`},
		{"lognormal:0B,1B", `size "lognormal:0B,1B": the median must be above 0`},
		{"lognormal:2B,1B", `size "lognormal:2B,1B": the 99th percentile 1 is below the median 2`},
		{"lognormal:1B,3B,2B", `size "lognormal:1B,3B,2B": the largest size 2 is below the 99th percentile 3`},
		{"lognormal:1B,2B,3B,4B", `size "lognormal:1B,2B,3B,4B": lognormal takes a median, a 99th percentile and a largest size`},
	},
	"keys": {
		{"", `must be one of zipf, uniform, scan, zipf-scan, got ""`},
		{"trace:x", `must be one of zipf, uniform, scan, zipf-scan, got "trace:x"`},
		{"zipf", `must be zipf:SKEW, got "zipf"`},
		{"zipf:x", `must be zipf:SKEW, got "zipf:x"`},
		{"zipf:-1", `skew: must be > 0 and at most 50, got -1`},
		{"zipf:NaN", `skew: must be > 0 and at most 50, got NaN`},
		{"zipf:1,2", `must be zipf:SKEW, got "zipf:1,2"`},
		{"uniform:1", `must be uniform, got "uniform:1"`},
		{"scan:", `must be scan, got "scan:"`},
		{"zipf-scan:1,1", `scan share: must be at least 0 and below 1, got 1`},
		{"zipf-scan:1,x", `must be zipf-scan:SKEW[,SHARE[,LENGTH]], got "zipf-scan:1,x"`},
		{"zipf-scan:1,0.5,x", `must be zipf-scan:SKEW[,SHARE[,LENGTH]], got "zipf-scan:1,0.5,x"`},
		{"zipf-scan:1,0.5,1,1", `must be zipf-scan:SKEW[,SHARE[,LENGTH]], got "zipf-scan:1,0.5,1,1"`},
	},
	"mix": {
		{"read", `mix "read": "read" is not OPERATION:WEIGHT`},
		{"read:x", `mix "read:x": weight "x" of read is not a whole number below 2^32`},
		{"reed:1", `mix "reed:1": operation "reed": must be one of read, write, delete`},
		{"read:1,read:2", `mix "read:1,read:2": read stands there twice`},
		{"read:0", `"read:0": mix: at least one weight must be above 0`},
	},
}

func TestTextRoundTrip(t *testing.T) {
	for kind, texts := range goodTexts {
		for _, tt := range texts {
			in, want := tt[0], tt[1]
			if want == "" {
				want = in
			}
			v := textKinds[kind]()
			require.NoError(t, v.UnmarshalText([]byte(in)))
			require.Equal(t, want, v.String())
			again := textKinds[kind]()
			marshaled, err := v.MarshalText()
			require.NoError(t, err)
			require.NoError(t, again.UnmarshalText(marshaled))
			require.Equal(t, v, again, in)
		}
	}
}

func TestBadTexts(t *testing.T) {
	for kind, texts := range badTexts {
		for _, tt := range texts {
			v := textKinds[kind]()
			require.EqualError(t, v.UnmarshalText([]byte(tt[0])), tt[1])
			require.Equal(t, textKinds[kind](), v, "a value that was not read is left as it was")
		}
	}
}

func TestKeySpecFieldsOfOtherKinds(t *testing.T) {
	require.EqualError(t, KeySpec{Kind: KindUniform, Skew: 1}.Validate(),
		"skew: not for uniform keys, got 1")
	require.EqualError(t, KeySpec{Kind: KindZipf, Skew: 1, ScanLength: 2}.Validate(),
		"scan share and length: not for zipf keys, got 0 and 2")
	require.EqualError(t, KeySpec{Kind: 9}.Validate(), "unknown kind 9")
}

// Any text that parses prints as a text that parses to the same value, and samples of the value are
// in range.
func FuzzText(f *testing.F) {
	for kind := range textKinds {
		for _, tt := range goodTexts[kind] {
			f.Add(tt[0])
		}
		for _, tt := range badTexts[kind] {
			f.Add(tt[0])
		}
	}
	f.Fuzz(func(t *testing.T, in string) {
		for kind, fresh := range textKinds {
			v := fresh()
			if v.UnmarshalText([]byte(in)) != nil {
				continue
			}
			again := fresh()
			if err := again.UnmarshalText([]byte(v.String())); err != nil {
				t.Fatalf("%s %q prints as %q: %v", kind, in, v, err)
			}
			require.Equal(t, v, again)
			r := Stream(1)
			switch v := v.(type) {
			case *Latency:
				if d := v.Sample(r); d < 0 || d > MaxLatency {
					t.Fatalf("%s: sample %v", v, d)
				}
			case *Size:
				if n := v.Sample(r); n < 0 || n > v.Max() {
					t.Fatalf("%s: sample %d", v, n)
				}
			case *Mix:
				v.Pick(r)
			case *KeySpec:
				s := space(t, SpaceConfig{Keys: *v, Count: 100})
				for _, k := range take(s.Source(0), 10) {
					if k >= 100 {
						t.Fatalf("%s: key %d", v, k)
					}
				}
			}
		}
	})
}

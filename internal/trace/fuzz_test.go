package trace

import (
	"errors"
	"strings"
	"testing"
)

// fuzzReader checks what must hold for any input: no panic, no limit exceeded, each error with its
// position, and the same result from Load and All.
func fuzzReader(t *testing.T, text string, f Format) {
	o := Options{Format: f, MaxLine: 1 << 10, MaxCount: 1 << 8, MaxBytes: 1 << 16,
		MaxRequests: 1 << 12}
	keys, format, err := readAll(t, text, o)
	if int64(len(keys)) > o.MaxRequests {
		t.Fatalf("%d requests, over the limit", len(keys))
	}
	var syntax *SyntaxError
	if err != nil && !errors.As(err, &syntax) {
		t.Fatalf("an error that is no *SyntaxError: %v", err)
	}
	if syntax != nil && (syntax.Line < 1 || syntax.File != "t" || syntax.Reason == "") {
		t.Fatalf("an error without its place: %+v", syntax)
	}
	if format == ARC {
		for _, k := range keys {
			if _, err := parseWhole([]byte(k)); err != nil {
				t.Fatalf("key %q: %v", k, err)
			}
		}
	}
	tr, loadErr := LoadFrom(strings.NewReader(text), "t", o)
	switch {
	case err == nil && len(keys) == 0:
		if !errors.Is(loadErr, ErrEmpty) {
			t.Fatalf("Load of nothing: %v", loadErr)
		}
	case err != nil:
		if loadErr == nil || loadErr.Error() != err.Error() {
			t.Fatalf("Load: %v, All: %v", loadErr, err)
		}
	default:
		if loadErr != nil || tr.Len() != len(keys) {
			t.Fatalf("Load: %v; All returned %d requests", loadErr, len(keys))
		}
		for i, k := range keys {
			if tr.Key(i) != k {
				t.Fatalf("request %d: Load has %q, All %q", i, tr.Key(i), k)
			}
		}
	}
}

func FuzzAuto(f *testing.F) {
	for _, s := range []string{"", "1 1 0 0\n", "a\nb\n", "key,v\na,1\n", "\uFEFFkey\na", "\x1f\x8b",
		"BZh9", "\n\r\n ,"} {
		f.Add(s)
		f.Add(zip(f, s))
		f.Add(zip(f, s)[:12])
	}
	f.Fuzz(func(t *testing.T, text string) { fuzzReader(t, text, Auto) })
}

func FuzzARC(f *testing.F) {
	for _, s := range []string{"1 1 0 0\n2 5 0 0", "1 256 x y\r\n", "1 257 0 0\n",
		"18446744073709551615 1 0 0\n", "18446744073709551616 1 0 0", "1 0 0 0", "1 1 0", "a b c d",
		" \t1\t1 0 0 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { fuzzReader(t, text, ARC) })
}

func FuzzKeys(f *testing.F) {
	for _, s := range []string{"a\nb\n", " a \r\n\r\n", "\x00", "key", strings.Repeat("x", 1025),
		"\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { fuzzReader(t, text, Keys) })
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"key\na\n", "a,b\n1,2\n", "a,key\n\"x,\"\"\",\"y\"\"\"\n", "k\n\"",
		"k\n\"a\"b", "k,v\n1", ",\n,", "\"\"\n\"\"", "k\na\"b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { fuzzReader(t, text, CSV) })
}

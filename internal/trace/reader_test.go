package trace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// readAll returns the keys up to the first error.
func readAll(tb testing.TB, text string, o Options) (keys []string, format Format, err error) {
	tb.Helper()
	r, err := NewReader(strings.NewReader(text), "t", o)
	if err != nil {
		return nil, Auto, err
	}
	for req, err := range r.All() {
		if err != nil {
			return keys, r.Format(), err
		}
		keys = append(keys, req.Key)
	}
	return keys, r.Format(), nil
}

func zip(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return b.String()
}

func TestFormats(t *testing.T) {
	tests := []struct {
		name, text string
		opts       Options
		format     Format
		want       []string
	}{
		{"arc", "5 3 0 0\n1 1 0 0\n", Options{}, ARC, []string{"5", "6", "7", "1"}},
		{"arc without last newline", "5 1 0 0\n6 1 0 0", Options{}, ARC, []string{"5", "6"}},
		{"arc with tabs, CRLF and blank lines", "\r\n 5\t2  0 0 \r\n\r\n9 1 0 0\r\n", Options{}, ARC,
			[]string{"5", "6", "9"}},
		{"arc, ignored columns hold anything", "1 1 a b\n2 1 -1 -\n", Options{Format: ARC}, ARC,
			[]string{"1", "2"}},
		{"arc, largest key", "18446744073709551614 2 0 0\n", Options{}, ARC,
			[]string{"18446744073709551614", "18446744073709551615"}},
		{"keys", "a\nb c\n\na\n", Options{}, Keys, []string{"a", "b c", "a"}},
		{"keys are taken as they stand", " a \nb\r\n", Options{}, Keys, []string{" a ", "b"}},
		{"keys, forced over ARC", "1 1 0 0\n", Options{Format: Keys}, Keys, []string{"1 1 0 0"}},
		{"csv, column named key", "time,Key,size\n1,a,2\n2,b,3\n", Options{}, CSV, []string{"a", "b"}},
		{"csv, first column", "user,size\na,1\nb,2\n", Options{}, CSV, []string{"a", "b"}},
		{"csv, by name", "key,user\n1,a\n2,b\n", Options{Column: "USER"}, CSV, []string{"a", "b"}},
		{"csv, by number", "key,user\n1,a\n2,b\n", Options{Column: "2"}, CSV, []string{"a", "b"}},
		{"csv, a name wins over a number", "x,y,1\na,b,c\n", Options{Column: "1"}, CSV, []string{"c"}},
		{"csv, one column", "key\na\nb\n", Options{}, CSV, []string{"a", "b"}},
		{"csv, quotes", "k,v\n\"a,b\",1\n\"say \"\"hi\"\"\",\"x\"\"y\"\n", Options{}, CSV,
			[]string{"a,b", `say "hi"`}},
		{"csv, quoted before and after the key", "v,key,w\n\"x\"\"y\",\"p\"\"q\",\"r\"\"s\"\n", Options{},
			CSV, []string{`p"q`}},
		{"byte order mark", "\uFEFFkey,v\na,1\n", Options{}, CSV, []string{"a"}},
		{"empty", "", Options{}, Keys, nil},
	}
	for _, tt := range tests {
		for _, packed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/gzip=%t", tt.name, packed), func(t *testing.T) {
				text := tt.text
				if packed {
					text = zip(t, text)
				}
				keys, format, err := readAll(t, text, tt.opts)
				require.NoError(t, err)
				require.Equal(t, tt.format, format)
				require.Equal(t, tt.want, keys)
			})
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	good := strings.Repeat("1 1 0 0\n", 999)
	tests := []struct {
		name, text string
		opts       Options
		want       string // the whole message
		before     int    // requests returned before it
		cause      error
	}{
		{"count is no number", good + "7 x7 0 0\n", Options{},
			`t:1000: field 2 (count): "x7" is not a whole number`, 999, nil},
		{"start is no number", "1 1 0 0\n2 1 0 0\n-3 1 0 0\n", Options{},
			`t:3: field 1 (start): "-3" is not a whole number`, 2, nil},
		{"broken first line", "x 1 0 0\n2 1 0 0\n3 1 0 0\n", Options{},
			`t:1: field 1 (start): "x" is not a whole number`, 0, nil},
		{"start too big", "18446744073709551616 1 0 0\n", Options{Format: ARC},
			`t:1: field 1 (start): "18446744073709551616" does not fit into 64 bits`, 0, nil},
		{"past the last key", "18446744073709551615 2 0 0\n", Options{},
			"t:1: field 2 (count): 2 keys from 18446744073709551615 run past the largest 64-bit number", 0,
			nil},
		{"three fields", good + "1 1 0\n", Options{},
			"t:1000: 3 fields, want 4: start count ignore ignore", 999, nil},
		{"five fields", good + "1 1 0 0 0\n", Options{},
			"t:1000: 5 fields, want 4: start count ignore ignore", 999, nil},
		{"count 0", "1 0 0 0\n", Options{}, "t:1: field 2 (count): must be at least 1, got 0", 0, nil},
		{"count over the default", "1 1048577 0 0\n", Options{},
			"t:1: field 2 (count): 1048577 is over the limit of 1048576 keys per line", 0, ErrLimit},
		{"count over the option", "1 9 0 0\n", Options{MaxCount: 8},
			"t:1: field 2 (count): 9 is over the limit of 8 keys per line", 0, ErrLimit},
		{"line too long", "a\n" + strings.Repeat("b", 101) + "\n", Options{MaxLine: 100},
			"t:2: longer than the limit of 100 bytes", 1, ErrLimit},
		{"line far too long", "a\n" + strings.Repeat("b", 1000) + "\n", Options{MaxLine: 100},
			"t:2: longer than the limit of 100 bytes", 1, ErrLimit},
		{"short line over a tiny limit", "ab\n", Options{MaxLine: 1},
			"t:1: longer than the limit of 1 bytes", 0, ErrLimit},
		{"too much text", "a\nb\nc\n", Options{MaxBytes: 5},
			"t:3: more than the limit of 5 bytes of text", 2, ErrLimit},
		{"too many requests", "1 3 0 0\n2 3 0 0\n", Options{MaxRequests: 5},
			"t:2: more than the limit of 5 requests", 5, ErrLimit},
		{"NUL in a key", "a\nb\x00\n", Options{},
			"t:2: holds a NUL byte; a trace is text, plain or gzipped", 1, nil},
		{"zstd", "\x28\xb5\x2f\xfdxxxx", Options{},
			"t:1: looks like zstd; only plain text and gzip are read", 0, nil},
		{"csv, no such column", "a,b\n1,2\n", Options{Column: "kee"},
			`t:1: no column "kee" in the header: a, b`, 0, nil},
		{"csv, no such number", "a,b\n1,2\n", Options{Column: "3"}, "t:1: no column 3: the header has 2",
			0, nil},
		{"csv, a field missing", "k,v\na,1\nb\n", Options{}, "t:3: 1 fields, but the header has 2", 1,
			nil},
		{"csv, empty key", "k,v\na,1\n,2\n", Options{}, "t:3: field 1 (k): the key is empty", 1, nil},
		{"csv, open quote", "k,v\na,\"1\nb,2\n", Options{},
			"t:2: field 2 (v): the quote is not closed on its line", 0, nil},
		{"csv, stray quote", "k,v\na\"b,1\n", Options{},
			"t:2: field 1 (k): a quote inside a field that does not start with one", 0, nil},
		{"csv, text after a quote", "k,v\n\"a\"b,1\n", Options{},
			`t:2: field 1 (k): "b,1" after the closing quote`, 0, nil},
		{
			"csv, which it is not", "\n" + good, Options{Format: CSV},
			`t:2: header: "1 1 0 0" has no commas: the lines are those of an ARC trace; read it with format arc`, 0, nil,
		},
		{
			"a column of what is not csv", good, Options{Column: "1"},
			`t:1: header: "1 1 0 0" has no commas: the lines are those of an ARC trace; read it with format arc`, 0, nil,
		},
		{"csv, bad header", "a,\"b\n", Options{Format: CSV},
			"t:1: field 2: the quote is not closed on its line", 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, _, err := readAll(t, tt.text, tt.opts)
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax)
			require.EqualError(t, err, tt.want)
			require.Len(t, keys, tt.before)
			if tt.cause != nil {
				require.ErrorIs(t, err, tt.cause)
			}
		})
	}
}

func TestLimitsAllowWhatFits(t *testing.T) {
	keys, _, err := readAll(t, strings.Repeat("b", 100)+"\r\nc\n", Options{MaxLine: 100})
	require.NoError(t, err)
	require.Len(t, keys, 2)
	keys, _, err = readAll(t, "a\nb\nc\n", Options{MaxBytes: 6})
	require.NoError(t, err)
	require.Len(t, keys, 3)
	keys, _, err = readAll(t, "1 3 0 0\n", Options{MaxRequests: 3, MaxCount: 3})
	require.NoError(t, err)
	require.Len(t, keys, 3)
}

// A few kilobytes of gzip that unpack to a lot must not be read to their end.
func TestDecompressionBomb(t *testing.T) {
	bomb := zip(t, strings.Repeat("1\n", 1<<20))
	require.Less(t, len(bomb), 8<<10)
	keys, _, err := readAll(t, bomb, Options{MaxBytes: 1000})
	require.ErrorIs(t, err, ErrLimit)
	require.EqualError(t, err, "t:501: more than the limit of 1000 bytes of text")
	require.Len(t, keys, 500)
}

// A short line can stand for a million keys, so a short file can stand for any number.
func TestRequestBomb(t *testing.T) {
	_, err := LoadFrom(strings.NewReader(strings.Repeat("1 65536 0 0\n", 100)), "t",
		Options{MaxRequests: 1 << 17})
	require.ErrorIs(t, err, ErrLimit)
	require.EqualError(t, err, "t:3: more than the limit of 131072 requests")
}

func TestDamagedGzip(t *testing.T) {
	var text strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&text, "%d 1 0 0\n", i*7919%1_000_003)
	}
	whole := zip(t, text.String())

	t.Run("cut off in the data", func(t *testing.T) {
		keys, format, err := readAll(t, whole[:len(whole)/2], Options{})
		require.Equal(t, ARC, format)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Greater(t, len(keys), 1000)
		require.EqualError(t, err, fmt.Sprintf("t:%d: the gzip data ends too early; the file is cut off",
			len(keys)+1))
	})
	t.Run("cut off in the checksum", func(t *testing.T) {
		keys, _, err := readAll(t, whole[:len(whole)-3], Options{})
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Len(t, keys, 50_000)
	})
	t.Run("cut off in the header", func(t *testing.T) {
		_, _, err := readAll(t, whole[:5], Options{})
		require.EqualError(t, err, "t:1: the gzip data ends too early; the file is cut off")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	t.Run("flipped bits", func(t *testing.T) {
		bad := []byte(whole)
		bad[len(bad)-8] ^= 0xff // in the checksum
		_, _, err := readAll(t, string(bad), Options{})
		require.ErrorIs(t, err, gzip.ErrChecksum)
		require.ErrorContains(t, err, "the gzip data is damaged")
	})
}

func TestReadErrorsNameTheLine(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, lines := range []int{1, 5000} { // within and beyond the bytes that are examined first
		in := io.MultiReader(strings.NewReader(strings.Repeat("a\n", lines)), iotest.ErrReader(broken))
		r, err := NewReader(in, "t", Options{})
		if err == nil {
			for _, e := range r.All() {
				err = e
			}
		}
		require.ErrorIs(t, err, broken)
		if lines > 1 {
			require.EqualError(t, err, "trace: t:5001: the disk is gone")
		}
	}
}

// A loop over All can be resumed, and yields nothing after the end.
func TestAllResumes(t *testing.T) {
	r, err := NewReader(strings.NewReader("1 3 0 0\n9 1 0 0\n"), "t", Options{})
	require.NoError(t, err)
	for req, err := range r.All() {
		require.NoError(t, err)
		require.Equal(t, Request{Key: "1", Line: 1}, req)
		break
	}
	var rest []Request
	for req, err := range r.All() {
		require.NoError(t, err)
		rest = append(rest, req)
	}
	require.Equal(t, []Request{{"2", 1}, {"3", 1}, {"9", 2}}, rest)
	for req, err := range r.All() {
		t.Fatal("a request after the end:", req, err)
	}
	require.NoError(t, r.Close())
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "packed-without-suffix")
	require.NoError(t, os.WriteFile(path, []byte(zip(t, "1 2 0 0\n1 1 0 0\n")), 0o600))
	tr, err := Load(path, Options{})
	require.NoError(t, err)
	require.Equal(t, &Trace{Name: path, Format: ARC, Keys: []string{"1", "2"}, IDs: []uint32{0, 1, 0}},
		tr)
	require.Equal(t, 3, tr.Len())
	require.Equal(t, "2", tr.Key(1))

	_, err = Open(filepath.Join(dir, "missing"), Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(dir, Options{})
	require.ErrorContains(t, err, "is a directory")

	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n\n"), 0o600))
	_, err = Load(empty, Options{})
	require.ErrorIs(t, err, ErrEmpty)
	require.EqualError(t, err, "trace: "+empty+": no requests in the trace")
}

func TestOptionsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		opts Options
		want string
	}{
		{Options{Format: 9}, "trace: Options.Format: unknown format 9"},
		{Options{MaxLine: -1}, "trace: Options.MaxLine: must be from 0 to 1073741824, got -1"},
		{Options{MaxBytes: -1}, "trace: Options.MaxBytes: must not be negative, got -1"},
		{Options{MaxRequests: 1 << 32},
			"trace: Options.MaxRequests: must be from 0 to 4294967295, got 4294967296"},
		{Options{Format: ARC, Column: "x"},
			`trace: Options.Column: "x" given, but format arc has no columns to choose from`},
	} {
		_, err := NewReader(strings.NewReader("a\n"), "t", tt.opts)
		require.EqualError(t, err, tt.want)
	}
}

func TestFormatText(t *testing.T) {
	for _, f := range []Format{Auto, ARC, Keys, CSV} {
		text, err := f.MarshalText()
		require.NoError(t, err)
		var got Format
		require.NoError(t, got.UnmarshalText(bytes.ToUpper(text)))
		require.Equal(t, f, got)
	}
	var f Format
	require.EqualError(t, f.UnmarshalText([]byte("spc")),
		`trace format "spc": must be one of auto, arc, keys, csv`)
	require.Equal(t, "Format(-1)", Format(-1).String())
}

// Only a new key costs an allocation.
func TestLoadAllocates(t *testing.T) {
	text := strings.Repeat("1 100 0 0\n", 1000)
	allocs := testing.AllocsPerRun(5, func() {
		_, err := LoadFrom(strings.NewReader(text), "t", Options{})
		require.NoError(t, err)
	})
	require.Less(t, allocs, 400.0, "100,000 requests of 100 keys")
}

func BenchmarkLoad(b *testing.B) {
	text := strings.Repeat("1 1 0 0\n77 1 0 0\n123456 1 0 0\n", 10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := LoadFrom(strings.NewReader(text), "t", Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

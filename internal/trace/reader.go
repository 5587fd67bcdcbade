package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// A Request is one request of a trace.
type Request struct {
	Key  string
	Line int // the line of the request, counted from 1
}

// A Reader streams the requests of a trace. It is not safe for concurrent use.
type Reader struct {
	name   string
	opts   Options
	lines  *bufio.Reader
	gz     *gzip.Reader
	file   io.Closer
	parser parser

	line     int    // lines read so far
	requests int64  // requests returned so far
	next     uint64 // the next key of the current line
	count    uint64 // how many keys the current line has
	err      error  // the error that ended the trace; io.EOF at its end
}

// A parser parses the lines of one format.
type parser interface {
	// line takes a line that is not blank and returns how many keys it holds. The line stays valid
	// until the next call. It sets Field, Reason and Err of an error.
	line(line []byte) (uint64, *SyntaxError)
	// key returns one of the keys, valid until the next call of either method.
	key(i uint64) []byte
}

// Open opens the trace in the file at path. The caller closes the Reader.
// Errors in the trace's text come from [Reader.All]; Open itself fails if the
// file cannot be read, is neither text nor gzip, or the options are invalid.
func Open(path string, o Options) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	r, err := NewReader(file, path, o)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r.file = file
	return r, nil
}

// NewReader reads a trace from in. The name is for errors. NewReader blocks until it has read the
// first kilobytes, from which it guesses the format.
func NewReader(in io.Reader, name string, o Options) (*Reader, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Reader{name: name, opts: o}
	raw := bufio.NewReaderSize(in, 64<<10)
	plain, err := r.decompress(raw)
	if err != nil {
		return nil, err
	}
	// Room for the line, its end and one byte more, so that a line of exactly
	// MaxLine bytes fits.
	r.lines = bufio.NewReaderSize(&limitedReader{in: plain, left: o.MaxBytes}, o.MaxLine+len("\r\n")+1)
	sample, err := r.lines.Peek(min(r.lines.Size(), 4<<10))
	if bytes.HasPrefix(sample, []byte("\uFEFF")) {
		if _, err := r.lines.Discard(len("\uFEFF")); err != nil {
			return nil, fmt.Errorf("trace: %s: %w", name, err)
		}
		sample = sample[len("\uFEFF"):]
	}
	guess := detect(sample, errors.Is(err, io.EOF))
	if o.Format == Auto {
		// Reading the lines returns an error other than the end of the file again, with the line's
		// number.
		o.Format = guess
		r.opts.Format = o.Format
	}
	switch o.Format {
	case ARC:
		r.parser = &arcParser{maxCount: o.MaxCount}
	case CSV:
		r.parser = &csvParser{column: o.Column, isARC: guess == ARC}
	default:
		r.parser = &keyParser{}
	}
	return r, nil
}

// decompress returns a reader of the decompressed text, if in begins like gzip, and otherwise in.
// Other compressed formats are errors, since they would pass for a list of odd keys.
func (r *Reader) decompress(in *bufio.Reader) (io.Reader, error) {
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("trace: %s: %w", r.name, err)
	}
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		gz, err := gzip.NewReader(in)
		if err != nil {
			return nil, &SyntaxError{File: r.name, Line: 1, Reason: gzipReason(err), Err: noEOF(err)}
		}
		r.gz = gz
		return gz, nil
	}
	for _, other := range []struct{ magic, name string }{
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"\xfd7zXZ\x00", "xz"},
		{"BZh", "bzip2"},
		{"PK\x03\x04", "zip"},
		{"\x04\x22\x4d\x18", "lz4"},
	} {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			return nil, &SyntaxError{File: r.name, Line: 1, Reason: "looks like " + other.name +
				"; only plain text and gzip are read"}
		}
	}
	return in, nil
}

// Format returns the format in Options or, if that is Auto, the guessed one.
func (r *Reader) Format() Format { return r.opts.Format }

// All returns the requests in the order of the trace. It can be ranged over once; a second loop
// goes on where the first stopped. An error is the last thing it yields, with a zero Request: a
// [*SyntaxError], or a read error with file and line.
func (r *Reader) All() iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		for {
			key, err := r.read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Request{}, err)
				return
			}
			if !yield(Request{Key: string(key), Line: r.line}, nil) {
				return
			}
		}
	}
}

// Close closes the file that Open opened. For a Reader from NewReader it does nothing: the input
// stays open.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// read returns the next key, valid until the next call, or io.EOF.
func (r *Reader) read() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	for r.next >= r.count {
		if r.err = r.readLine(); r.err != nil {
			return nil, r.err
		}
	}
	if r.requests >= r.opts.MaxRequests {
		r.err = &SyntaxError{File: r.name, Line: r.line,
			Reason: fmt.Sprintf("more than the limit of %d requests", r.opts.MaxRequests), Err: ErrLimit}
		return nil, r.err
	}
	r.requests++
	r.next++
	return r.parser.key(r.next - 1), nil
}

func (r *Reader) readLine() error {
	line, err := r.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return io.EOF
	case err != nil && !errors.Is(err, io.EOF): // the last line may lack a line break
		return r.lineError(err)
	}
	r.line++
	line = bytes.TrimSuffix(line, []byte{'\n'})
	line = bytes.TrimSuffix(line, []byte{'\r'})
	r.next, r.count = 0, 0
	if len(line) > r.opts.MaxLine {
		return r.tooLong()
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	count, bad := r.parser.line(line)
	if bad != nil {
		bad.File, bad.Line = r.name, r.line
		return bad
	}
	r.count = count
	return nil
}

// lineError returns the error of reading the next line, with its position.
func (r *Reader) lineError(err error) error {
	r.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return r.tooLong()
	case errors.Is(err, ErrLimit):
		return &SyntaxError{File: r.name, Line: r.line,
			Reason: fmt.Sprintf("more than the limit of %d bytes of text", r.opts.MaxBytes), Err: ErrLimit}
	case r.gz != nil:
		return &SyntaxError{File: r.name, Line: r.line, Reason: gzipReason(err), Err: err}
	default:
		return fmt.Errorf("trace: %s:%d: %w", r.name, r.line, err)
	}
}

func (r *Reader) tooLong() error {
	return &SyntaxError{File: r.name, Line: r.line,
		Reason: fmt.Sprintf("longer than the limit of %d bytes", r.opts.MaxLine), Err: ErrLimit}
}

func gzipReason(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "the gzip data ends too early; the file is cut off"
	}
	return "the gzip data is damaged: " + err.Error()
}

// noEOF returns io.ErrUnexpectedEOF for io.EOF, so that a truncated file does not pass for a
// complete one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// limitedReader fails with ErrLimit once more than its limit was read, where io.LimitedReader would
// report the end of the file. It keeps its error, because guessing the format may reach the limit
// before the lines are read.
type limitedReader struct {
	in   io.Reader
	left int64
	err  error
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	// One byte more than the limit distinguishes a trace that is too long from one that fits
	// exactly.
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.in.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		n, err = n-1, ErrLimit
	}
	l.err = err
	return n, err
}

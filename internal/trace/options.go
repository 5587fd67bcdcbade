package trace

import "fmt"

// Default limits; see [Options].
const (
	DefaultMaxLine     = 64 << 10
	DefaultMaxCount    = 1 << 20
	DefaultMaxBytes    = 4 << 30
	DefaultMaxRequests = 1 << 26
)

// Options configures how a trace is read. The zero value guesses the format and applies the default
// limits. A limit can't be switched off; set it as high as the trace needs.
type Options struct {
	// Format is the layout of the lines; Auto guesses it.
	Format Format

	// Column is the key column of a CSV trace: a name from the header row, in any case, or a number
	// counted from 1. A name wins over a number. Empty means the column named "key", or the first
	// column if none is. If it is set, Auto means CSV. Lines that look like those of an ARC trace
	// are rejected as CSV.
	Column string

	// MaxLine is the longest line, in bytes without its end. 0 means
	// DefaultMaxLine.
	MaxLine int

	// MaxCount is the largest count on an ARC line. 0 means DefaultMaxCount.
	MaxCount uint64

	// MaxBytes is the largest size of the trace once decompressed. 0 means
	// DefaultMaxBytes.
	MaxBytes int64

	// MaxRequests is the largest number of requests. 0 means DefaultMaxRequests. It bounds the
	// memory of Load, because a few hundred bytes of ARC lines can stand for a hundred million
	// keys.
	MaxRequests int64
}

// The upper bounds of the limits: a line is buffered whole, and Load numbers distinct keys with 32
// bits.
const (
	maxMaxLine     = 1 << 30
	maxMaxRequests = 1<<32 - 1
)

func (o Options) withDefaults() (Options, error) {
	if o.Format < Auto || o.Format > CSV {
		return o, fmt.Errorf("trace: Options.Format: unknown format %d", int(o.Format))
	}
	if o.MaxLine < 0 || o.MaxLine > maxMaxLine {
		return o, fmt.Errorf("trace: Options.MaxLine: must be from 0 to %d, got %d", maxMaxLine,
			o.MaxLine)
	}
	if o.MaxBytes < 0 {
		return o, fmt.Errorf("trace: Options.MaxBytes: must not be negative, got %d", o.MaxBytes)
	}
	if o.MaxRequests < 0 || o.MaxRequests > maxMaxRequests {
		return o, fmt.Errorf("trace: Options.MaxRequests: must be from 0 to %d, got %d",
			int64(maxMaxRequests), o.MaxRequests)
	}
	if o.Column != "" {
		switch o.Format {
		case Auto:
			o.Format = CSV
		case CSV:
		default:
			return o, fmt.Errorf("trace: Options.Column: %q given, but format %s has no columns to choose "+
				"from", o.Column, o.Format)
		}
	}
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.MaxCount == 0 {
		o.MaxCount = DefaultMaxCount
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = DefaultMaxRequests
	}
	return o, nil
}

package stacks

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"runtime/pprof"
)

// A group is a number of goroutines with the same stack and labels.
type group struct {
	count  int64
	labels map[string]string
	frames []frame // the innermost call first
	kind   kind    // see trim
}

// A kind says what the goroutines of a group do for their flight.
type kind uint8

const (
	function kind = iota // they run its function
	unknown              // the profile does not have the calls with which they began
	child                // they are linked children
)

type frame struct {
	function string
	file     string
	line     int64
}

// The fields of profile.proto that are read.
const (
	profileSample   = 2
	profileLocation = 4
	profileFunction = 5
	profileStrings  = 6

	sampleLocation = 1
	sampleValue    = 2
	sampleLabel    = 3

	labelKey  = 1
	labelText = 2

	locationID   = 1
	locationLine = 4

	lineFunction = 1
	lineNumber   = 2

	functionID   = 1
	functionName = 2
	functionFile = 4
)

var errProfile = errors.New("stacks: malformed profile")

// read takes the profile p and returns its groups of goroutines with a Label.
func read(p *pprof.Profile) ([]group, error) {
	var buf bytes.Buffer
	if err := p.WriteTo(&buf, 0); err != nil {
		return nil, err
	}
	unzip, err := gzip.NewReader(&buf)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(unzip)
	if err != nil {
		return nil, err
	}
	return parse(b)
}

// A profile holds the tables of a profile, by which its samples are resolved.
type profile struct {
	samples   [][]byte
	strings   []string
	locations map[uint64][]byte
	functions map[uint64][]byte
}

// parse returns the groups of an uncompressed profile that have a Label.
func parse(b []byte) ([]group, error) {
	p := profile{locations: map[uint64][]byte{}, functions: map[uint64][]byte{}}
	for f, err := range fields(b) {
		switch {
		case err != nil:
			return nil, err
		case f.number == profileSample:
			p.samples = append(p.samples, f.bytes)
		case f.number == profileLocation:
			p.locations[first(f.bytes, locationID)] = f.bytes
		case f.number == profileFunction:
			p.functions[first(f.bytes, functionID)] = f.bytes
		case f.number == profileStrings:
			p.strings = append(p.strings, string(f.bytes))
		}
	}
	var groups []group
	for _, sample := range p.samples {
		g, err := p.group(sample)
		if err != nil {
			return nil, err
		}
		if g.labels != nil {
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// group resolves a sample. Without a Label it returns a group without labels.
func (p *profile) group(sample []byte) (g group, err error) {
	labels := map[string]string{}
	for f, err := range fields(sample) {
		switch {
		case err != nil:
			return g, err
		case f.number == sampleLabel:
			labels[p.text(first(f.bytes, labelKey))] = p.text(first(f.bytes, labelText))
		}
	}
	if _, ok := labels[Label]; !ok {
		return g, nil
	}
	g.labels = labels
	for f, err := range fields(sample) {
		if err != nil {
			return g, err
		}
		switch f.number {
		case sampleValue:
			for n := range f.numbers {
				g.count += int64(n) //nolint:gosec // a number of goroutines
			}
		case sampleLocation:
			for id := range f.numbers {
				if g.frames, err = p.appendFrames(g.frames, p.locations[id]); err != nil {
					return g, err
				}
			}
		}
	}
	return g, nil
}

// appendFrames appends the frames of a location: several where calls were inlined.
func (p *profile) appendFrames(frames []frame, location []byte) ([]frame, error) {
	for f, err := range fields(location) {
		if err != nil {
			return nil, err
		}
		if f.number == locationLine {
			function := p.functions[first(f.bytes, lineFunction)]
			frames = append(frames, frame{
				function: p.text(first(function, functionName)),
				file:     p.text(first(function, functionFile)),
				line:     int64(first(f.bytes, lineNumber)), //nolint:gosec // a line of a file
			})
		}
	}
	return frames, nil
}

// text returns a string of the string table; an empty one for an index that is out of range.
func (p *profile) text(i uint64) string {
	if i >= uint64(len(p.strings)) {
		return ""
	}
	return p.strings[i]
}

// A field is a field of a message. Its value is number or, for the wire type of strings, messages
// and packed numbers, bytes.
type field struct {
	number int
	value  uint64
	bytes  []byte
	packed bool
}

// numbers yields the numbers of a repeated field, packed or not.
func (f field) numbers(yield func(uint64) bool) {
	if !f.packed {
		yield(f.value)
		return
	}
	for b := f.bytes; len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || !yield(n) {
			return
		}
		b = b[size:]
	}
}

// first returns the number of the first field with that number; 0 if there is none.
func first(message []byte, number int) uint64 {
	for f, err := range fields(message) {
		if err == nil && f.number == number {
			return f.value
		}
	}
	return 0
}

// fields yields the fields of a message, and errProfile where it is malformed.
func fields(message []byte) func(yield func(field, error) bool) {
	return func(yield func(field, error) bool) {
		for b := message; len(b) > 0; {
			f, size := decode(b)
			if size <= 0 {
				yield(f, errProfile)
				return
			}
			if !yield(f, nil) {
				return
			}
			b = b[size:]
		}
	}
}

// decode returns the field at the start of b, and its size; 0 if it is malformed.
func decode(b []byte) (f field, size int) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 > 1<<20 {
		return f, 0
	}
	f.number = int(tag >> 3)
	switch tag & 7 {
	case 0: // a varint
		value, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return f, 0
		}
		f.value = value
		return f, n + m
	case 2: // bytes
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || length > uint64(len(b)-n-m) {
			return f, 0
		}
		f.bytes, f.packed = b[n+m:n+m+int(length)], true //nolint:gosec // no longer than b
		return f, n + m + int(length)                    //nolint:gosec // as above
	default: // no other type is in profile.proto
		return f, 0
	}
}

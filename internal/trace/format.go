package trace

import (
	"bytes"
	"fmt"
	"strings"
)

// A Format is the layout of a trace's lines.
type Format int

const (
	// Auto guesses the format from the first lines.
	Auto Format = iota
	// ARC is four columns, "start count ignore ignore".
	ARC
	// Keys is one key per line.
	Keys
	// CSV is comma-separated fields under a header row.
	CSV
)

var formatNames = [...]string{Auto: "auto", ARC: "arc", Keys: "keys", CSV: "csv"}

// String returns the format's name: auto, arc, keys or csv.
func (f Format) String() string {
	if f < 0 || int(f) >= len(formatNames) {
		return fmt.Sprintf("Format(%d)", int(f))
	}
	return formatNames[f]
}

// MarshalText returns the format's name.
func (f Format) MarshalText() ([]byte, error) {
	return []byte(f.String()), nil
}

// UnmarshalText parses a format's name, in any case.
func (f *Format) UnmarshalText(text []byte) error {
	for i, name := range formatNames {
		if strings.EqualFold(name, string(text)) {
			*f = Format(i)
			return nil
		}
	}
	return fmt.Errorf("trace format %q: must be one of %s", text, strings.Join(formatNames[:], ", "))
}

// sampleLines is the number of lines that detect examines. It examines more than one, so that a
// malformed first line of an ARC trace does not make it a list of keys.
const sampleLines = 16

// detect guesses a format from the first bytes of a trace. More than half of the lines must look
// like ARC, or more than half hold a comma. A first line "key" is taken for the header of a CSV
// file with one column. Anything else is one key per line.
func detect(sample []byte, whole bool) Format {
	var lines, arc, comma int
	for first := true; len(sample) > 0 && lines < sampleLines; {
		line, rest, found := bytes.Cut(sample, []byte{'\n'})
		if !found && !whole && lines > 0 {
			break // cut off by the end of the sample
		}
		sample = rest
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if first && isKeyHeader(line) {
			return CSV
		}
		first = false
		lines++
		if looksLikeARC(line) {
			arc++
		}
		if bytes.IndexByte(line, ',') >= 0 {
			comma++
		}
	}
	switch {
	case arc*2 > lines:
		return ARC
	case comma*2 > lines:
		return CSV
	default:
		return Keys
	}
}

func looksLikeARC(line []byte) bool {
	fields := 0
	for rest := line; ; fields++ {
		var field []byte
		field, rest = cutField(rest)
		if len(field) == 0 {
			return fields == arcFields
		}
		if _, err := parseWhole(field); err != nil {
			return false
		}
	}
}

func isKeyHeader(line []byte) bool {
	return strings.EqualFold(strings.Trim(string(line), `"`), defaultColumn)
}

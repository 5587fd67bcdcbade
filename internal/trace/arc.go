package trace

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

const arcFields = 4

// arcParser reads lines of "start count ignore ignore".
type arcParser struct {
	maxCount uint64
	start    uint64
	buf      []byte
}

func (p *arcParser) line(line []byte) (uint64, *SyntaxError) {
	var fields [arcFields][]byte
	n := 0
	for rest := line; ; n++ {
		var field []byte
		field, rest = cutField(rest)
		if len(field) == 0 {
			break
		}
		if n < arcFields {
			fields[n] = field
		}
	}
	if n != arcFields {
		return 0, &SyntaxError{Reason: fmt.Sprintf("%d fields, want %d: start count ignore ignore", n,
			arcFields)}
	}
	start, err := parseWhole(fields[0])
	if err != nil {
		return 0, arcError(1, "start", fields[0], err)
	}
	count, err := parseWhole(fields[1])
	if err != nil {
		return 0, arcError(2, "count", fields[1], err)
	}
	if count == 0 {
		return 0, &SyntaxError{Field: "field 2 (count)", Reason: "must be at least 1, got 0"}
	}
	if count > p.maxCount {
		return 0, &SyntaxError{
			Field:  "field 2 (count)",
			Reason: fmt.Sprintf("%d is over the limit of %d keys per line", count, p.maxCount),
			Err:    ErrLimit,
		}
	}
	if start > math.MaxUint64-(count-1) {
		return 0, &SyntaxError{Field: "field 2 (count)",
			Reason: fmt.Sprintf("%d keys from %d run past the largest 64-bit number", count, start)}
	}
	p.start = start
	return count, nil
}

func (p *arcParser) key(i uint64) []byte {
	p.buf = strconv.AppendUint(p.buf[:0], p.start+i, 10)
	return p.buf
}

func arcError(field int, name string, text []byte, err error) *SyntaxError {
	return &SyntaxError{Field: fmt.Sprintf("field %d (%s)", field, name), Reason: quote(text) + " " +
		err.Error()}
}

var (
	errNotWhole = errors.New("is not a whole number")
	errTooBig   = errors.New("does not fit into 64 bits")
)

// parseWhole reads an unsigned decimal number. strconv would need a string and
// allocate it.
func parseWhole(text []byte) (uint64, error) {
	if len(text) == 0 {
		return 0, errNotWhole
	}
	var n uint64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, errNotWhole
		}
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0, errTooBig
		}
		n = n*10 + d
	}
	return n, nil
}

// cutField returns the first run of characters that are neither spaces nor
// tabs, and what follows it. The field is empty at the end of the line.
func cutField(line []byte) (field, rest []byte) {
	i := 0
	for i < len(line) && isBlank(line[i]) {
		i++
	}
	j := i
	for j < len(line) && !isBlank(line[j]) {
		j++
	}
	return line[i:j], line[j:]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// quote quotes text from a trace for an error, cut to a readable length.
func quote(text []byte) string {
	const most = 40
	if len(text) > most {
		return strconv.Quote(string(text[:most])) + "..."
	}
	return strconv.Quote(string(text))
}

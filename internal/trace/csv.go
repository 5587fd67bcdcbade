package trace

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// defaultColumn is the default name of the key column.
const defaultColumn = "key"

// csvParser reads comma-separated fields by RFC 4180, except that a field may not contain a line
// break: otherwise a missing quote would swallow the rest of the file and be reported at its end.
type csvParser struct {
	column string // as in Options
	isARC  bool   // its lines look like those of an ARC trace
	header []string
	index  int // of the key column
	text   []byte
	buf    []byte // for a quoted key with quotes in it
}

func (p *csvParser) line(line []byte) (uint64, *SyntaxError) {
	if p.header == nil {
		return 0, p.readHeader(line)
	}
	n := 0
	for rest, more := line, true; more; n++ {
		var field []byte
		var reason string
		field, rest, more, reason = p.cut(rest)
		if reason != "" {
			return 0, &SyntaxError{Field: p.fieldName(n), Reason: reason}
		}
		if n == p.index {
			if len(field) == 0 {
				return 0, &SyntaxError{Field: p.fieldName(n), Reason: "the key is empty"}
			}
			if bytes.IndexByte(field, 0) >= 0 {
				return 0, &SyntaxError{Field: p.fieldName(n),
					Reason: "holds a NUL byte; a trace is text, plain or gzipped"}
			}
			p.text = field
			p.buf = nil // so that later fields of this line do not overwrite the key
		}
	}
	if n != len(p.header) {
		return 0, &SyntaxError{Reason: fmt.Sprintf("%d fields, but the header has %d", n, len(p.header))}
	}
	return 1, nil
}

func (p *csvParser) key(uint64) []byte { return p.text }

func (p *csvParser) readHeader(line []byte) *SyntaxError {
	if p.isARC && bytes.IndexByte(line, ',') < 0 {
		// Each line would be one field, and so a key of its own.
		return &SyntaxError{
			Field: "header",
			Reason: quote(line) + " has no commas: the lines are those of an ARC trace; read it with " +
				"format arc",
		}
	}
	var header []string
	for rest, more := line, true; more; {
		var field []byte
		var reason string
		field, rest, more, reason = p.cut(rest)
		if reason != "" {
			return &SyntaxError{Field: fmt.Sprintf("field %d", len(header)+1), Reason: reason}
		}
		header = append(header, strings.TrimSpace(string(field)))
	}
	p.header = header
	want := p.column
	if want == "" {
		want = defaultColumn
	}
	for i, name := range header {
		if strings.EqualFold(name, want) {
			p.index = i
			return nil
		}
	}
	if p.column == "" {
		p.index = 0
		return nil
	}
	if number, err := strconv.Atoi(p.column); err == nil {
		if number < 1 || number > len(header) {
			return &SyntaxError{Reason: fmt.Sprintf("no column %d: the header has %d", number, len(header))}
		}
		p.index = number - 1
		return nil
	}
	return &SyntaxError{Reason: fmt.Sprintf("no column %q in the header: %s", p.column,
		strings.Join(header, ", "))}
}

// cut returns the first field of line, the rest, and whether another field follows. The field
// points into line or p.buf.
func (p *csvParser) cut(line []byte) (field, rest []byte, more bool, reason string) {
	if len(line) == 0 || line[0] != '"' {
		field, rest, more = bytes.Cut(line, []byte{','})
		if bytes.IndexByte(field, '"') >= 0 {
			return nil, nil, false, "a quote inside a field that does not start with one"
		}
		return field, rest, more, ""
	}
	line = line[1:]
	escaped := false
	for i := 0; i < len(line); i++ {
		if line[i] != '"' {
			continue
		}
		if i+1 < len(line) && line[i+1] == '"' {
			escaped = true
			i++
			continue
		}
		field, rest = line[:i], line[i+1:]
		if escaped {
			p.buf = append(p.buf[:0], bytes.ReplaceAll(field, []byte(`""`), []byte(`"`))...)
			field = p.buf
		}
		switch {
		case len(rest) == 0:
			return field, nil, false, ""
		case rest[0] == ',':
			return field, rest[1:], true, ""
		default:
			return nil, nil, false, fmt.Sprintf("%s after the closing quote", quote(rest))
		}
	}
	return nil, nil, false, "the quote is not closed on its line"
}

func (p *csvParser) fieldName(i int) string {
	if i < len(p.header) {
		return fmt.Sprintf("field %d (%s)", i+1, p.header[i])
	}
	return fmt.Sprintf("field %d", i+1)
}

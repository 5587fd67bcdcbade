package wire

import (
	"encoding/binary"
	"fmt"
	"unique"
)

// A cursor reads a frame from the front. Its methods compare each length with the rest of the frame
// before they read or allocate anything.
type cursor struct {
	b   []byte
	off int
	at  place
}

func (c *cursor) rest() int { return len(c.b) - c.off }

func (c *cursor) byte(field string) (byte, error) {
	if c.rest() < 1 {
		return 0, c.short(field)
	}
	c.off++
	return c.b[c.off-1], nil
}

func (c *cursor) bool(field string) (bool, error) {
	v, err := c.byte(field)
	if err == nil && v > 1 {
		err = c.syntaxAt(c.off-1, field, "%d is neither 0 nor 1", v)
	}
	return v == 1, err
}

func (c *cursor) uint16(field string) (uint16, error) {
	if c.rest() < 2 {
		return 0, c.short(field)
	}
	c.off += 2
	return binary.BigEndian.Uint16(c.b[c.off-2:]), nil
}

func (c *cursor) uint64(field string) (uint64, error) {
	if c.rest() < 8 {
		return 0, c.short(field)
	}
	c.off += 8
	return binary.BigEndian.Uint64(c.b[c.off-8:]), nil
}

// uvarint reads a number in its shortest form, and refuses any other, so that equal messages have
// equal bytes.
func (c *cursor) uvarint(field string) (uint64, error) {
	if c.rest() > 0 && c.b[c.off] < 0x80 { // most are one byte
		c.off++
		return uint64(c.b[c.off-1]), nil
	}
	v, n := binary.Uvarint(c.b[c.off:])
	switch {
	case n == 0:
		return 0, c.short(field)
	case n < 0:
		return 0, c.syntax(field, "the number exceeds 64 bits")
	case c.b[c.off+n-1] == 0:
		return 0, c.syntax(field, "the number is not in its shortest form")
	}
	c.off += n
	return v, nil
}

func (c *cursor) varint(field string) (int64, error) {
	v, err := c.uvarint(field)
	return int64(v>>1) ^ -int64(v&1), err
}

// count reads the number of elements that follow, each of which takes at least size bytes.
func (c *cursor) count(field string, size int) (int, error) {
	start := c.off
	v, err := c.uvarint(field)
	if err != nil {
		return 0, err
	}
	if v > uint64(c.rest()/size) {
		return 0, c.syntaxAt(start, field, "%d do not fit into the %d bytes that remain", v, c.rest())
	}
	return int(v), nil
}

// bytes reads a length of 1 to limit and as many bytes. They are part of the frame: the caller
// copies them.
func (c *cursor) bytes(field string, limit int) ([]byte, error) {
	start := c.off
	v, err := c.uvarint(field)
	if err != nil {
		return nil, err
	}
	return c.take(start, field, v, limit)
}

// node reads the name of a node. Names of nodes are few and each is in many records, so equal ones
// share their memory.
func (c *cursor) node(field string, limit int) (string, error) {
	start := c.off
	v, err := c.byte(field)
	if err != nil {
		return "", err
	}
	b, err := c.take(start, field, uint64(v), limit)
	if err != nil {
		return "", err
	}
	return unique.Make(string(b)).Value(), nil
}

// take reads v bytes, 1 to limit; start is the offset of the field, for errors.
func (c *cursor) take(start int, field string, v uint64, limit int) ([]byte, error) {
	switch {
	case v == 0:
		return nil, c.syntaxAt(start, field, "it is empty")
	case v > uint64(limit):
		return nil, c.syntaxAt(start, field, "%d bytes are more than %d", v, limit)
	case v > uint64(c.rest()):
		return nil, c.syntaxAt(start, field, "%d bytes do not fit into the %d that remain", v, c.rest())
	}
	b := c.b[c.off : c.off+int(v)]
	c.off += int(v)
	return b, nil
}

func (c *cursor) short(field string) error {
	return c.syntax(field, "the frame ends in it")
}

func (c *cursor) syntax(field, format string, args ...any) error {
	return c.syntaxAt(c.off, field, format, args...)
}

func (c *cursor) syntaxAt(off int, field, format string, args ...any) error {
	return &SyntaxError{Offset: off, Field: c.at.field(field), Reason: fmt.Sprintf(format, args...)}
}

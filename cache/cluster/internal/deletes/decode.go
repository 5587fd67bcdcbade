package deletes

import (
	"encoding/binary"
	"time"
)

// uvarint is binary.Uvarint for numbers that are not longer than they must be.
func uvarint(b []byte) (uint64, int) {
	v, n := binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -n
	}
	return v, n
}

// A reader takes a message apart. After the first error it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = malformed(format, args...)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it is cut off")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail("it is cut off")
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// number returns a number that is at most limit.
func (r *reader) number(what string, limit uint64) uint64 {
	v, n := uvarint(r.b)
	if n <= 0 {
		r.fail("%s is cut off, or not a number", what)
		return 0
	}
	if v > limit {
		r.fail("%s is %d, want at most %d", what, v, limit)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count returns how many parts of at least size bytes follow.
func (r *reader) count(what string, limit, size int) int {
	return int(r.number(what, uint64(min(limit, len(r.b)/size))))
}

func (r *reader) age() time.Duration {
	return time.Duration(min(r.number("age", maxAge), uint64(1<<62/time.Millisecond))) * time.Millisecond
}

// seq returns a number of a delete.
func (r *reader) seq(after uint64) uint64 {
	step := r.number("number of a delete", maxSeq-after)
	if step == 0 {
		r.fail("number of a delete is 0 or not in order")
		return 0
	}
	return after + step
}

// run returns a run later than the one before.
func (r *reader) run(before uint64) uint64 {
	run := r.fixed()
	if run <= before {
		r.fail("runs are 0 or not in order")
	}
	return run
}

// decode takes a message apart, without having looked at what the Log knows.
func decode(data []byte) (m message, err error) {
	if len(data) > MaxMessage {
		return m, malformed("message of %d bytes, want at most %d", len(data), MaxMessage)
	}
	r := &reader{b: data}
	if v := r.byte(); r.err == nil && v != messageVersion {
		return m, malformed("message of version %d, want %d", v, messageVersion)
	}
	m.from, m.to = r.fixed(), r.fixed()
	if m.from == 0 {
		r.fail("it has no sender")
	}
	spans := 0
	var last uint64
	for range r.count("number of runs", maxListed, progressMin) {
		p := r.progress(last, &spans)
		last = p.run
		m.vector = append(m.vector, p)
		if r.err != nil {
			return message{}, r.err
		}
	}
	entries := 0
	last = 0
	for range r.count("number of chapters", maxListed, chapterMin) {
		c := r.chapter(last, &entries)
		last = c.run
		m.chapters = append(m.chapters, c)
		if r.err != nil {
			return message{}, r.err
		}
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes follow", len(r.b))
	}
	if r.err != nil {
		return message{}, r.err
	}
	return m, nil
}

func (r *reader) progress(before uint64, spans *int) (p progress) {
	p.run = r.run(before)
	p.applied = r.number("number of a delete", maxSeq)
	n := r.number("number of spans", 2*2*maxSpans+1)
	p.idle = n&1 == 1
	if *spans += int(n >> 1); *spans > 2*maxSpans || int(n>>1) > len(r.b)/2 {
		r.fail("%d spans, want at most %d", *spans, 2*maxSpans)
	}
	last := p.applied
	for range n >> 1 {
		if r.err != nil || last+2 > maxSeq {
			r.fail("number of a delete is above %d", uint64(maxSeq))
			return p
		}
		var s span
		s.first = last + 2 + r.number("begin of a span", maxSeq-last-2)
		s.last = s.first + r.number("length of a span", maxSeq-s.first)
		p.ahead = append(p.ahead, s)
		last = s.last
	}
	return p
}

func (r *reader) chapter(before uint64, entries *int) (c chapter) {
	c.run = r.run(before)
	flags := r.byte()
	if flags > hasFloor|hasClear|hasComplete {
		r.fail("flags %#x", flags)
	}
	c.complete = flags&hasComplete != 0
	c.age = r.age()
	if flags&hasFloor != 0 {
		c.floor, c.floored = r.seq(0), r.age()
	}
	if flags&hasClear != 0 {
		c.clear, c.cleared = r.seq(0), r.age()
	}
	n := r.count("number of entries", maxEntries-*entries, entryMin)
	*entries += n
	var last uint64
	for range n {
		a := aged{seq: r.seq(last), age: r.age()}
		size := r.number("length of a key", min(MaxKey, uint64(len(r.b))))
		if r.err != nil || uint64(len(r.b)) < size {
			r.fail("a key is cut off")
			return c
		}
		a.key, r.b = string(r.b[:size]), r.b[size:]
		c.entries = append(c.entries, a)
		last = a.seq
	}
	return c
}

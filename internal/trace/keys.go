package trace

import "bytes"

// keyParser reads lines that are keys.
type keyParser struct{ text []byte }

func (p *keyParser) line(line []byte) (uint64, *SyntaxError) {
	// Otherwise a compressed or binary file would pass for a list of strange keys.
	if bytes.IndexByte(line, 0) >= 0 {
		return 0, &SyntaxError{Reason: "holds a NUL byte; a trace is text, plain or gzipped"}
	}
	p.text = line
	return 1, nil
}

func (p *keyParser) key(uint64) []byte { return p.text }

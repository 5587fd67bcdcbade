package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A byteCount is a flag's number of bytes, such as 64MiB.
type byteCount uint64

var byteUnits = []struct {
	name string
	size uint64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, // B last: all end in it
}

func (b *byteCount) Set(text string) error {
	number, unit := text, uint64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = rest, u.size
			break
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
	if err != nil || n == 0 || n > (1<<62)/unit {
		return fmt.Errorf("must be a whole number of bytes above 0, such as 64MiB, got %q", text)
	}
	*b = byteCount(n * unit)
	return nil
}

func (b *byteCount) String() string {
	if *b == 0 {
		return ""
	}
	for _, u := range byteUnits {
		if uint64(*b)%u.size == 0 {
			return strconv.FormatUint(uint64(*b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(*b), 10)
}

func (b *byteCount) Type() string { return "bytes" }

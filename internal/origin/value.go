package origin

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/snowfence/snowfence/internal/workload"
)

// Value returns the value that Load returns for key, at once and without faults. The seed and the
// key determine its size and content. The caller owns it.
func (o *Origin) Value(key uint64) []byte {
	return o.fill(make([]byte, o.size(key)), key)
}

// Check returns nil if value is the value of key, and otherwise an error with the difference.
// Values of different keys differ, unless they are only a few bytes long.
func (o *Origin) Check(key uint64, value []byte) error {
	want := o.Value(key)
	if bytes.Equal(want, value) {
		return nil
	}
	if len(want) != len(value) {
		return fmt.Errorf("origin: value of key %d: %d bytes, want %d", key, len(value), len(want))
	}
	for i := range want {
		if want[i] != value[i] {
			return fmt.Errorf("origin: value of key %d: byte %d is %#02x, want %#02x", key, i, value[i],
				want[i])
		}
	}
	return nil
}

func (o *Origin) size(key uint64) int {
	return o.cfg.Size.Sample(workload.Stream(o.cfg.Seed, drawSize, key))
}

// fill writes a pseudo-random sequence that the key determines.
func (o *Origin) fill(value []byte, key uint64) []byte {
	const step = 0x9e3779b97f4a7c15
	x := workload.Hash(o.cfg.Seed, drawContent, key)
	rest := value
	for ; len(rest) >= 8; rest = rest[8:] {
		binary.LittleEndian.PutUint64(rest, x)
		x += step
	}
	for i := range rest {
		rest[i] = byte(x >> (8 * i))
	}
	return value
}

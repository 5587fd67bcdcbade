//go:build !unix

package usage

import (
	"runtime/metrics"
	"time"
)

// CPU returns the processor time of this process, as the runtime estimated it at the end of the
// last garbage collection.
func CPU() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration((s[0].Value.Float64() - s[1].Value.Float64()) * float64(time.Second))
}

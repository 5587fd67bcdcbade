//go:build !unix

package memload

import "runtime/metrics"

// processSeconds is the CPU time that the runtime knows of, as of the last
// collection.
func processSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64() - s[1].Value.Float64()
}

package benchmarks

import (
	"testing"
	"time"
)

// A cpuMeter measures the processor time of a benchmark while it is not stopped.
type cpuMeter struct{ used, from time.Duration }

func newCPUMeter() *cpuMeter {
	m := &cpuMeter{}
	m.start()
	return m
}

func (m *cpuMeter) start() { m.from, _ = processorTime() }

func (m *cpuMeter) stop() {
	now, _ := processorTime()
	m.used += now - m.from
}

// report stops the meter and reports the processor time per operation, if it is known.
func (m *cpuMeter) report(b *testing.B) {
	b.Helper()
	m.stop()
	if _, ok := processorTime(); ok {
		b.ReportMetric(float64(m.used)/float64(b.N), "cpu-ns")
	}
}

// Package snapshotprom makes a Prometheus collector from a function that returns a snapshot.
package snapshotprom

import "github.com/prometheus/client_golang/prometheus"

// A Metric is a metric with values from a snapshot of type S.
type Metric[S any] struct {
	Name, Help string
	Kind       prometheus.ValueType
	Labels     []string // the names of the labels

	// Each calls set for each value, with the values of Labels.
	Each func(s S, set func(value float64, labels ...string))

	durations func(s S, set func(d Durations, labels ...string)) // instead of Each: see Histogram
}

// Counter returns a metric that only goes up.
func Counter[S any](name, help string, value func(S) uint64) Metric[S] {
	return Metric[S]{Name: name, Help: help, Kind: prometheus.CounterValue,
		Each: func(s S, set func(float64, ...string)) {
			set(float64(value(s)))
		}}
}

// Gauge returns a metric that goes up and down.
func Gauge[S any](name, help string, value func(S) int) Metric[S] {
	return Metric[S]{Name: name, Help: help, Kind: prometheus.GaugeValue,
		Each: func(s S, set func(float64, ...string)) {
			set(float64(value(s)))
		}}
}

// New returns a collector that takes one snapshot for each scrape. All metrics have the labels in
// constant.
func New[S any](
	snapshot func() S, constant prometheus.Labels, metrics ...Metric[S],
) prometheus.Collector {
	c := &collector[S]{snapshot: snapshot, metrics: metrics}
	for _, m := range metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels, constant))
	}
	return c
}

type collector[S any] struct {
	snapshot func() S
	metrics  []Metric[S]
	descs    []*prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector[S]) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector[S]) Collect(to chan<- prometheus.Metric) {
	s := c.snapshot()
	for i, m := range c.metrics {
		send := func(metric prometheus.Metric, err error) {
			if err != nil { // a panic here would end the process
				metric = prometheus.NewInvalidMetric(c.descs[i], err)
			}
			to <- metric
		}
		if m.durations != nil {
			m.durations(s, func(d Durations, labels ...string) {
				send(newHistogram(c.descs[i], d, labels...))
			})
			continue
		}
		m.Each(s, func(value float64, labels ...string) {
			send(prometheus.NewConstMetric(c.descs[i], m.Kind, value, labels...))
		})
	}
}

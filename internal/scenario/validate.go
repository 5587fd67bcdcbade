package scenario

import (
	"fmt"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/origin"
	"github.com/snowfence/snowfence/internal/workload"
)

// Limits that keep a typing error from exhausting the machine.
const (
	maxDuration = 24 * time.Hour
	maxRate     = 10_000_000
	maxWorkers  = 100_000    // some 9 kB each
	maxQueue    = 10_000_000 // 24 B each, at once
	maxBatch    = 100_000
	maxKeys     = 1 << 40
	maxSkew     = 50
)

// Validate returns everything that is wrong with the scenario, each as a
// [*FieldError] with the file's line where the value came from a file.
func (s *Scenario) Validate() error { return join(s.invalidFields()) }

// checker collects errors.
type checker struct {
	scenario *Scenario
	errs     []*FieldError
}

// check reports a field's error unless ok.
func (c *checker) check(ok bool, field, format string, args ...any) {
	if !ok {
		c.errs = append(c.errs, c.scenario.FieldError(field, fmt.Sprintf(format, args...)))
	}
}

// within checks lo ≤ v ≤ hi; NaN is in no range.
func within[T int | uint64 | float64 | time.Duration](c *checker, field string, v, lo, hi T) {
	c.check(v >= lo && v <= hi, field, "must be from %v to %v, got %v", lo, hi, v)
}

// position returns where a field stands in the file, or its section if the
// field has its default, and nothing if it was given to Set.
func (s *Scenario) position(field string) (file string, line int) {
	if s.source == nil || s.source.file == "" {
		return "", 0
	}
	for path := field; path != ""; {
		switch line := s.source.lines[path]; {
		case line == setLine:
			return "", 0
		case line > 0:
			return s.source.file, line
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return s.source.file, 1
}

func (s *Scenario) invalidFields() []*FieldError {
	c := &checker{scenario: s}
	c.check(s.Duration > 0 && s.Duration <= maxDuration, "duration",
		"must be above 0 and at most %v, got %v", maxDuration, s.Duration)
	within(c, "events.rate", s.Events.Rate, 0, maxRate)
	c.check(s.Events.Until >= 0 && s.Events.Until <= s.Duration, "events.until",
		"must be from 0s to %s (%v), got %v", s.NameOf("duration"), s.Duration, s.Events.Until)
	within(c, "events.workers", s.Events.Workers, 1, maxWorkers)
	within(c, "events.queue", s.Events.Queue, 1, maxQueue)
	c.check(s.Events.Timeout > 0 && s.Events.Timeout <= maxDuration, "events.timeout",
		"must be above 0 and at most %v, got %v", maxDuration, s.Events.Timeout)
	within(c, "events.batch", s.Events.Batch, 1, maxBatch)

	s.invalidKeys(c)
	c.check(s.Operations().Validate() == nil, "mix",
		"at least one of read, write and delete must be above 0")

	c.check(s.Cache.Capacity >= 1, "cache.capacity", "must be at least 1, got %d", s.Cache.Capacity)
	c.check(s.Cache.TTL >= 0, "cache.ttl", "must not be negative, got %v", s.Cache.TTL)
	c.check(s.Cache.Jitter >= 0 && s.Cache.Jitter < 1, "cache.jitter",
		"must be at least 0 and below 1, got %v", s.Cache.Jitter)
	c.check(s.Cache.FetchTimeout >= 0, "cache.fetch_timeout", "must not be negative, got %v",
		s.Cache.FetchTimeout)
	c.check(s.Cache.MaxConcurrent >= 0, "cache.max_concurrent", "must not be negative, got %d",
		s.Cache.MaxConcurrent)
	c.check(s.Cache.MaxAbandoned >= 0, "cache.max_abandoned", "must not be negative, got %d",
		s.Cache.MaxAbandoned)
	c.check(s.Cache.MaxWaitingPerKey >= 0, "cache.max_waiting_per_key",
		"must not be negative, got %d", s.Cache.MaxWaitingPerKey)
	s.invalidStale(c)
	c.check(s.Origin.Concurrency >= 0, "origin.concurrency", "must not be negative, got %d",
		s.Origin.Concurrency)

	s.invalidFault(c)
	within(c, "expect.healthy_drop_off", s.Expect.HealthyDropOff, 0, 1)
	within(c, "expect.healthy_drop_on", s.Expect.HealthyDropOn, 0, 1)
	within(c, "expect.alike", s.Expect.Alike, 0, 1)
	c.check(s.Expect.Alike == 0 || s.Expect.HealthyDropOff == 0, "expect.alike",
		"contradicts expect.healthy_drop_off: runs that are alike differ in nothing")
	c.check(s.Expect.LearnWithin >= 0, "expect.learn_within", "must not be negative, got %v",
		s.Expect.LearnWithin)
	return c.errs
}

// invalidStale checks what happens before and after a TTL has ended.
func (s *Scenario) invalidStale(c *checker) {
	o, ttl := s.Cache, s.NameOf("cache.ttl")
	c.check(o.StaleFor >= 0, "cache.stale_for", "must not be negative, got %v", o.StaleFor)
	c.check(o.SoftTimeout >= 0, "cache.soft_timeout", "must not be negative, got %v", o.SoftTimeout)
	c.check(o.RefreshAt >= 0 && o.RefreshAt < 1, "cache.refresh_at",
		"must be at least 0 and below 1, got %v", o.RefreshAt)
	if o.TTL == 0 {
		c.check(o.StaleFor == 0, "cache.stale_for",
			"has no meaning without %s: no value ever becomes stale", ttl)
		c.check(o.RefreshAt == 0, "cache.refresh_at", "has no meaning without %s: it is a share of that",
			ttl)
	}
}

func (s *Scenario) invalidKeys(c *checker) {
	k := s.Keys
	c.check(k.Kind >= workload.KindZipf && k.Kind <= workload.KindTrace, "keys.kind",
		"unknown kind %d", int(k.Kind))
	within(c, "keys.count", k.Count, 1, maxKeys)
	c.check(k.Skew > 0, "keys.skew", "must be > 0, got %v", k.Skew)
	c.check(k.Skew <= maxSkew, "keys.skew", "must be at most %d, got %v", maxSkew, k.Skew)
	c.check(k.ScanShare >= 0 && k.ScanShare < 1, "keys.scan_share",
		"must be at least 0 and below 1, got %v", k.ScanShare)
	if k.Kind == workload.KindTrace {
		c.check(k.Trace != "", "keys.trace", "must be given for trace keys")
	}
}

func (s *Scenario) invalidFault(c *checker) {
	f, k := s.Fault, s.Keys
	c.check(f.Kind >= origin.FaultNone && f.Kind <= origin.FaultSlow, "fault.kind", "unknown kind %d",
		int(f.Kind))
	within(c, "fault.rate", f.Rate, 0, 1)
	within(c, "fault.share", f.Share, 0, 1)
	c.check(f.Keys >= 1, "fault.keys", "must be at least 1, got %d", f.Keys)
	c.check(f.Start >= 0, "fault.start", "must not be negative, got %v", f.Start)
	c.check(f.Slow > 0, "fault.slow", "must be above 0, got %v", f.Slow)
	if f.Kind == origin.FaultNone {
		return // the rest does not matter
	}
	c.check(f.End > f.Start, "fault.end", "must be after %s (%v), got %v", s.NameOf("fault.start"),
		f.Start, f.End)
	c.check(f.End <= s.Duration, "fault.end", "must be at most %s (%v), got %v", s.NameOf("duration"),
		s.Duration, f.End)
	if k.Kind != workload.KindTrace && f.Keys >= 1 {
		c.check(uint64(f.Keys) <= k.Count, "fault.keys", "must be at most %s (%d), got %d",
			s.NameOf("keys.count"), k.Count, f.Keys)
	}
	alike := k.Kind == workload.KindUniform || k.Kind == workload.KindScan
	c.check(!alike || f.Share == 0, "fault.share",
		"has no meaning for %s keys (%s), which are all alike",
		k.Kind, s.NameOf("keys.kind"))
}

// usedKeyFields tells of the fields that not every kind of keys has whether this
// one has them.
func (s *Scenario) usedKeyFields() map[string]bool {
	kind := s.Keys.Kind
	scans, trace := kind == workload.KindZipfScan, kind == workload.KindTrace
	return map[string]bool{
		"keys.skew":        scans || kind == workload.KindZipf,
		"keys.scan_share":  scans,
		"keys.scan_length": scans,
		"keys.count":       !trace,
		"keys.scramble":    !trace,
		"keys.trace":       trace,
	}
}

// unusedFields reports fields of the file that mean nothing to its kind of scenario or
// of keys. Validate lets them pass: a flag may have changed the kind.
func (s *Scenario) unusedFields() []*FieldError {
	c := &checker{scenario: s}
	for field := range s.source.lines {
		used, to := s.uses(field)
		if section, _, inside := strings.Cut(field, "."); inside {
			if whole, _ := s.uses(section); !whole {
				continue // said of the section already
			}
		}
		c.check(used, field, "has no meaning for %s", to)
	}
	return c.errs
}

package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of registry scenarios. All nodes run on one machine.
const (
	maxNodes      = 64
	maxPartitions = 4096
	maxNames      = 1_000_000
	maxChanges    = 1_000_000 // per second
	maxSkewed     = time.Hour
	minInterval   = time.Millisecond
	maxInterval   = time.Minute
)

func (s *Scenario) invalidRegistry(c *checker) {
	r := s.Registry
	within(c, "registry.nodes", r.Nodes, 1, maxNodes)
	c.check(len(r.Partitions) > 0, "registry.partitions", "must be at least one number")
	for _, n := range r.Partitions {
		within(c, "registry.partitions", n, 1, maxPartitions)
	}
	within(c, "registry.names", r.Names, 0, maxNames)
	within(c, "registry.rate", r.Rate, 0, maxChanges)
	c.check(r.Churn >= 0 && r.Churn < 1, "registry.churn", "must be at least 0 and below 1, got %v",
		r.Churn)
	within(c, "registry.contested", r.Contested, 0, maxNames)
	c.check(r.Contested == 0 || r.Nodes != 1, "registry.contested",
		"needs two nodes that claim a name, and %s is 1", s.NameOf("registry.nodes"))
	c.check(r.Queue >= 0, "registry.queue", "must not be negative, got %d", r.Queue)
	within(c, "registry.gossip", r.Gossip, minInterval, maxInterval)
	within(c, "registry.probe", r.Probe, minInterval, maxInterval)
	s.invalidDisturbance(c)
	c.check(s.Expect.WholeWithin >= 0, "expect.whole_within", "must not be negative, got %v",
		s.Expect.WholeWithin)
	c.check(s.Expect.QueueAtMost >= 0, "expect.queue_at_most", "must not be negative, got %d",
		s.Expect.QueueAtMost)
}

func (s *Scenario) invalidDisturbance(c *checker) {
	d, nodes := s.Disturb, s.Registry.Nodes
	c.check(d.Kind >= DisturbNone && int(d.Kind) < len(disturbances), "disturb.kind",
		"unknown kind %d", int(d.Kind))
	c.check(d.Start >= 0, "disturb.start", "must not be negative, got %v", d.Start)
	c.check(d.End > d.Start, "disturb.end", "must be after %s (%v), got %v", s.NameOf("disturb.start"),
		d.Start, d.End)
	c.check(d.End <= s.Duration, "disturb.end", "must be at most %s (%v), got %v",
		s.NameOf("duration"), s.Duration, d.End)
	within(c, "disturb.period", d.Period, minInterval, maxInterval)
	within(c, "disturb.skew", d.Skew, -maxSkewed, maxSkewed)
	c.check(d.Nodes >= 1, "disturb.nodes", "must be at least 1, got %d", d.Nodes)
	if d.Kind == DisturbNone || nodes < 1 {
		return
	}
	if nodes == 1 {
		c.check(false, "disturb.kind", "%s needs at least 2 nodes, and %s is 1", d.Kind,
			s.NameOf("registry.nodes"))
		return
	}
	// A link that flaps has two ends, so all nodes may be struck.
	most := nodes - 1
	if d.Kind == DisturbFlap {
		most = nodes
	}
	c.check(d.Nodes <= most, "disturb.nodes", "must leave a node alone: at most %d of %d (%s), got %d",
		most, nodes, s.NameOf("registry.nodes"), d.Nodes)
}

// The sections that only one kind of scenario has.
var (
	cacheSections    = []string{"events", "keys", "mix", "value", "cache", "origin", "fault"}
	registrySections = []string{"registry", "disturb"}
)

// The expectations that only registry scenarios have.
var registryExpectations = []string{"expect.whole_within", "expect.queue_at_most"}

// uses tells whether a section or a field means something to this scenario, and if not, to what it
// means nothing.
func (s *Scenario) uses(path string) (used bool, to string) {
	section, _, inside := strings.Cut(path, ".")
	kind := s.Kind.String() + " scenarios"
	if s.Kind == KindRegistry {
		expectation := section == "expect" && inside && !slices.Contains(registryExpectations, path)
		return !slices.Contains(cacheSections, section) && !expectation, kind
	}
	if slices.Contains(registrySections, section) || slices.Contains(registryExpectations, path) {
		return false, kind
	}
	used, known := s.usedKeyFields()[path]
	return used || !known, fmt.Sprintf("%s keys", s.Keys.Kind)
}

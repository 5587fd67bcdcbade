package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Kind is what a scenario is run against, and so which of its sections mean something.
type Kind int

// The kinds.
const (
	KindCache Kind = iota
	KindRegistry
)

var kinds = []string{KindCache: "cache", KindRegistry: "registry"}

// String returns the kind as it stands in files.
func (k Kind) String() string { return word(kinds, int(k)) }

// MarshalText is String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText understands what String returns.
func (k *Kind) UnmarshalText(text []byte) error { return oneOf(k, kinds, string(text)) }

// Registry is a cluster of registries and its load. The load is open: changes come at their time,
// whether or not the cluster keeps up.
type Registry struct {
	Nodes      int           `yaml:"nodes"`
	Processes  bool          `yaml:"processes"`  // a process for each node
	Partitions Counts        `yaml:"partitions"` // a run for each number
	Resolver   Resolver      `yaml:"resolver"`
	Names      int           `yaml:"names"`     // registered before the run is measured
	Rate       float64       `yaml:"rate"`      // changes per second, in all
	Churn      float64       `yaml:"churn"`     // the part of the changes that release a name
	Contested  int           `yaml:"contested"` // names that two nodes claim, within the window
	Queue      int           `yaml:"queue"`     // of each partition; 0: the registry's default
	Gossip     time.Duration `yaml:"gossip"`    // the interval
	Probe      time.Duration `yaml:"probe"`     // the interval
}

// Disturb is what is done to the cluster, to how many nodes, and when.
type Disturb struct {
	Kind   Disturbance   `yaml:"kind"`
	Nodes  int           `yaml:"nodes"`
	Start  time.Duration `yaml:"start"`
	End    time.Duration `yaml:"end"`
	Period time.Duration `yaml:"period"` // of flap
	Skew   time.Duration `yaml:"skew"`
}

// A Disturbance is one way to harm a cluster.
type Disturbance int

// The disturbances.
const (
	DisturbNone    Disturbance = iota
	DisturbKill                // nodes end without a word and stay away
	DisturbRestart             // nodes end without a word and come back under their names
	DisturbSplit               // nodes are cut off from the others
	DisturbFlap                // links fail and work again, at random
	DisturbSkew                // clocks of nodes are ahead
)

var disturbances = []string{
	DisturbNone: "none", DisturbKill: "kill", DisturbRestart: "restart", DisturbSplit: "split",
	DisturbFlap: "flap", DisturbSkew: "skew",
}

// Disturbances returns the names of all disturbances.
func Disturbances() []string { return slices.Clone(disturbances) }

// String returns the disturbance as it stands in files.
func (d Disturbance) String() string { return word(disturbances, int(d)) }

// MarshalText is String.
func (d Disturbance) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText understands what String returns.
func (d *Disturbance) UnmarshalText(text []byte) error {
	return oneOf(d, disturbances, string(text))
}

// A Resolver says which of two claims on a name is kept.
type Resolver int

// The resolvers.
const (
	Newest Resolver = iota
	Oldest
)

var resolvers = []string{Newest: "newest", Oldest: "oldest"}

// Resolvers returns the names of all resolvers.
func Resolvers() []string { return slices.Clone(resolvers) }

// String returns the resolver as it stands in files.
func (r Resolver) String() string { return word(resolvers, int(r)) }

// MarshalText is String.
func (r Resolver) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText understands what String returns.
func (r *Resolver) UnmarshalText(text []byte) error { return oneOf(r, resolvers, string(text)) }

// Counts is one or more different numbers above 0, written with commas between them.
type Counts []int

// mostCounts bounds how many runs one scenario may ask for.
const mostCounts = 8

// String returns the numbers as they stand in files.
func (c Counts) String() string {
	words := make([]string, len(c))
	for i, n := range c {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

// MarshalText is String.
func (c Counts) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText understands what String returns.
func (c *Counts) UnmarshalText(text []byte) error {
	var counts Counts
	for part := range strings.SplitSeq(string(text), ",") {
		part = strings.TrimSpace(part)
		n, err := strconv.Atoi(part)
		switch {
		case err != nil || n < 1:
			return fmt.Errorf("must be whole numbers above 0 with commas between them, such as 1,16, got "+
				"%s in %s",
				strconv.Quote(brief(part)), strconv.Quote(brief(string(text))))
		case slices.Contains(counts, n):
			return fmt.Errorf("%d stands there twice", n)
		}
		counts = append(counts, n)
		if len(counts) > mostCounts {
			return fmt.Errorf("must be at most %d numbers", mostCounts)
		}
	}
	*c = counts
	return nil
}

func word(words []string, i int) string {
	if i >= 0 && i < len(words) {
		return words[i]
	}
	return strconv.Itoa(i)
}

func oneOf[T ~int](to *T, words []string, text string) error {
	if i := slices.Index(words, text); i >= 0 {
		*to = T(i)
		return nil
	}
	hint := ""
	if near := nearest(text, words); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	return fmt.Errorf("must be one of %s, got %s%s", strings.Join(words, ", "),
		strconv.Quote(brief(text)), hint)
}

// brief keeps a file's text from filling an error.
func brief(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/experiment/cluster"
)

// ownerships and disturbances are what the flags accept, in the order in which they are shown.
var (
	ownerships = []cluster.Ownership{cluster.BySlot, cluster.ByKey, cluster.ByRing,
		cluster.None}
	disturbances = []cluster.Disturb{
		cluster.Calm, cluster.Kill, cluster.Restart, cluster.Pause, cluster.Split, cluster.Rolling,
		cluster.OriginSlow, cluster.OriginFail, cluster.Poison,
	}
)

// A parsedFlag is a flag whose text becomes a field of type T.
type parsedFlag[T any] struct {
	field *T
	text  string
	kind  string // the placeholder in help
	parse func(string) (T, error)
}

func (p *parsedFlag[T]) String() string { return p.text }
func (p *parsedFlag[T]) Type() string   { return p.kind }
func (p *parsedFlag[T]) Set(text string) error {
	v, err := p.parse(text)
	if err != nil {
		return err
	}
	*p.field, p.text = v, text
	return nil
}

// define adds the flags. Their defaults are those of the engine.
func (f *clusterFlags) define(cmd *cobra.Command) {
	c, flags := &f.config, cmd.Flags()
	f.flags = flags
	flags.SortFlags = false
	number := func(field *int, name, help string) {
		flags.Var(&parsedFlag[int]{field, strconv.Itoa(*field), "n", wholeNumber}, name, help)
	}
	share := func(field *float64, name, kind, help string) {
		flags.Var(&parsedFlag[float64]{field, strconv.FormatFloat(*field, 'g', -1, 64), kind, anyNumber},
			name, help)
	}
	length := func(field *time.Duration, name, help string) {
		text := plainDuration(*field)
		flags.Var(&parsedFlag[time.Duration]{field, text, "duration", duration}, name, help)
	}

	flags.Var(&parsedFlag[[]cluster.Ownership]{&c.Ownerships, ownershipText(c.Ownerships), "kind,...",
		parseOwnerships}, "ownership",
		"how a key finds its node: key, slot, ring, none, several of them, or all; each is a run")
	flags.Var(&parsedFlag[cluster.Disturb]{&c.Disturb, string(c.Disturb), "kind", parseDisturb},
		"disturb",
		"what is done to the nodes: "+strings.Join(texts(disturbances), ", "))
	flags.BoolVar(&f.check, "check", false, "exit with 1 if a promise is broken")
	flags.StringVar(&f.dir, "out", "",
		"write report.html, cluster.svg, series.csv, tables.md and result.json into this `folder`")
	flags.Var(&parsedFlag[uint64]{&c.Seed, strconv.FormatUint(c.Seed, 10), "number", seedNumber},
		"seed", "settles which keys and nodes")
	length(&c.Duration, "duration",
		"how long the load of each run takes; the window keeps its place in proportion")
	number(&c.Nodes, "nodes", "the nodes of the cluster, a process each")
	share(&c.Rate, "rate", "per-second", "fetches per second on each node")
	number(&c.Keys, "keys", "how many keys there are")
	share(&c.Zipf, "zipf", "skew", "how uneven their popularity is, above 1; 0: all alike")
	number(&c.Size, "size", "bytes of a value")
	length(&c.TTL, "ttl", "how long a value may be used")
	number(&c.Capacity, "capacity", "entries of each node's cache")
	length(&c.CopyTTL, "copy-ttl",
		"how long a node keeps a copy of another's value; 0: the default of the cluster's cache, "+
			"negative: not at all")
	length(&c.PeerTimeout, "peer-timeout",
		"how long an owner may be silent; 0: the default of the cluster's cache")
	length(&c.Deadline, "deadline", "by when a fetch must have ended")
	length(&c.OriginLatency, "origin-latency", "how long the origin takes for a load")
	share(&c.OriginErrors, "origin-errors", "share", "the part of the loads that fail, from 0 to 1")
	length(&c.Start, "start", "when the disturbance begins")
	length(&c.End, "end", "when it ends")
	number(&c.Victims, "victims", "to how many nodes it is done; in a split, how many are on one side")

	completeValues(cmd, "ownership", append(texts(ownerships), "all")...)
	completeValues(cmd, "disturb", texts(disturbances)...)
	completeOut(cmd)
}

// plan is the configuration that the flags ask for, valid.
func (f *clusterFlags) plan() (cluster.Config, error) {
	c, usual := f.config, cluster.DefaultConfig()
	if f.flags.Changed("duration") && !f.flags.Changed("start") && !f.flags.Changed("end") &&
		c.Duration > 0 {
		scale := float64(c.Duration) / float64(usual.Duration)
		// A run must be seen for a second before it is disturbed.
		c.Start = max(time.Second, time.Duration(float64(usual.Start)*scale).Round(time.Millisecond))
		c.End = min(c.Start+time.Duration(float64(usual.End-usual.Start)*scale).Round(time.Millisecond),
			c.Duration)
	}
	return c, errors.Join(f.refuse(c), clusterFlagNames(c.Validate()))
}

// refuse returns an error for each flag that means nothing beside the others.
func (f *clusterFlags) refuse(c cluster.Config) error {
	var errs []error
	refuse := func(ignored bool, why string, flags ...string) {
		for _, name := range flags {
			if ignored && f.flags.Changed(name) {
				errs = append(errs, refused(f.flags, name, why))
			}
		}
	}
	refuse(c.Disturb == cluster.Calm, "nothing is disturbed without --disturb", "start", "end",
		"victims")
	switch c.Disturb {
	case cluster.Rolling:
		refuse(true, "--disturb rolling is for all nodes", "victims")
	case cluster.Poison:
		refuse(true, "--disturb poison is for whatever node loads the key", "victims")
	case cluster.OriginSlow, cluster.OriginFail:
		refuse(true, fmt.Sprintf("--disturb %s is for the origin", c.Disturb), "victims")
	}
	refuse(slices.Equal(c.Ownerships, []cluster.Ownership{cluster.None}),
		"with --ownership none no node asks another", "copy-ttl", "peer-timeout")
	return errors.Join(errs...)
}

func parseOwnerships(text string) ([]cluster.Ownership, error) {
	if text == "all" {
		return ownerships, nil
	}
	var list []cluster.Ownership
	for word := range strings.SplitSeq(text, ",") {
		o := cluster.Ownership(strings.TrimSpace(word))
		if !slices.Contains(ownerships, o) {
			return nil, fmt.Errorf("must be key, slot, ring, none, several of them with commas between, "+
				"or all, got %q", word)
		}
		if slices.Contains(list, o) {
			return nil, fmt.Errorf("%s stands there twice", o)
		}
		list = append(list, o)
	}
	return list, nil
}

func ownershipText(list []cluster.Ownership) string { return strings.Join(texts(list), ",") }

func parseDisturb(text string) (cluster.Disturb, error) {
	if d := cluster.Disturb(text); slices.Contains(disturbances, d) {
		return d, nil
	}
	return "", fmt.Errorf("must be one of %s", strings.Join(texts(disturbances), ", "))
}

func texts[T ~string](list []T) []string {
	words := make([]string, len(list))
	for i, word := range list {
		words[i] = string(word)
	}
	return words
}

func wholeNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("must be a whole number")
	}
	return n, nil
}

func seedNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("must be a whole number from 0 on")
	}
	return n, nil
}

func anyNumber(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("must be a number")
	}
	return n, nil
}

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("must be a duration such as 500ms or 10s")
	}
	return d, nil
}

// plainDuration is 1m and not 1m0s.
func plainDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// clusterFlagNames has the errors of a configuration name flags instead of fields, one a line.
func clusterFlagNames(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, clusterFlagNames(e))
		}
		return errors.Join(errs...)
	}
	var field *cluster.FieldError
	if errors.As(err, &field) {
		return fmt.Errorf("--%s: want %s, got %v", field.Field, field.Want, field.Value)
	}
	return err
}

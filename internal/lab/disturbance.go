package lab

import (
	"slices"
	"strings"

	"github.com/snowfence/snowfence/internal/human"
	"github.com/snowfence/snowfence/internal/report"
)

// A Disturbance is what an experiment does to a cluster. The tag "choices" of its parameter lists
// those that it supports.
type Disturbance string

// The disturbances. Victims are the nodes that they hit.
const (
	Calm       Disturbance = "none"
	Kill       Disturbance = "kill"        // victims are killed (SIGKILL), and stay away
	Restart    Disturbance = "restart"     // victims are killed, and start again at the end
	Pause      Disturbance = "pause"       // victims are stopped (SIGSTOP), and go on at the end
	Split      Disturbance = "split"       // victims are cut off from the others
	Flap       Disturbance = "flap"        // links of victims fail and work again, at random
	Skew       Disturbance = "skew"        // clocks of victims are wrong
	Rolling    Disturbance = "rolling"     // all nodes shut down and start again, in turn
	OriginSlow Disturbance = "origin-slow" // loads take longer
	OriginFail Disturbance = "origin-fail" // loads fail
	Poison     Disturbance = "poison"      // the load of one key ends its process
)

// words holds what is said of each disturbance. {from} and {to} are its window, {victims} is who it
// is for, and {are} the same with a verb.
var words = map[Disturbance]struct {
	headline string // of a report
	course   string // what is done when
	label    string // in a chart
}{
	Calm: {"nobody disturbs it", "Nothing is disturbed", ""},
	Kill: {"a node is killed", "At {from} {are} killed", "{victims} killed"},
	Restart: {"a node is killed and comes back",
		"At {from} {are} killed, and started again at {to}", "{victims} down"},
	Pause: {"a node hangs for a while",
		"From {from} to {to} {are} stopped, as a process that hangs", "{victims} stopped"},
	Split: {"the network splits and heals", "From {from} to {to} {are} cut off from the others",
		"split: {victims} cut off"},
	Flap: {"links fail and work again", "From {from} to {to} each link of {victims} is cut or not",
		"links of {victims} flap"},
	Skew: {"a clock is wrong", "From {from} to {to} the clock of {victims} is off",
		"clock of {victims} off"},
	Rolling: {"one node after the other is restarted",
		"From {from} to {to} one node after the other is ended in good order and started again",
		"one after the other restarted"},
	OriginSlow: {"the origin is slow", "From {from} to {to} the origin is slow", "origin slow"},
	OriginFail: {"the origin fails", "From {from} to {to} the origin fails", "origin fails"},
	Poison: {"the load of one key kills its node",
		"From {from} to {to} a load of the most popular key ends its process",
		"one key kills its node"},
}

// Headline says in a few words what happens.
func (d Disturbance) Headline() string { return words[d].headline }

// Course says what is done, and when. n is the number of the victims, see [Whom].
func (d Disturbance) Course(w Window, victims string, n int) string {
	are := victims + " are"
	if n == 1 {
		are = victims + " is"
	}
	return strings.NewReplacer("{from}", human.Plain(w.Start), "{to}", human.Plain(w.End),
		"{victims}", victims, "{are}", are).Replace(words[d].course)
}

// Whom names the victims of some runs, or counts them: there are n, more than most, or not the same
// in each run, or none is known yet.
func Whom(n, most int, runs ...[]string) string {
	known := len(runs) > 0
	for _, r := range runs {
		known = known && len(r) > 0 && len(r) <= most && slices.Equal(r, runs[0])
	}
	if !known {
		return human.Plural(n, "node", "nodes")
	}
	return strings.Join(runs[0], ", ")
}

// Shade marks the disturbance in a chart: as a window or, for Kill, as a moment. whom names the
// victims.
func (d Disturbance) Shade(c *report.Chart, w Window, whom string) {
	label := strings.ReplaceAll(words[d].label, "{victims}", whom)
	switch {
	case d == Kill:
		c.Marks = append(c.Marks, report.Mark{At: w.Start.Seconds(), Label: label})
	case label != "":
		c.Windows = append(c.Windows, w.Shaded(label))
	}
}

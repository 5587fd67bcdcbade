package lab

import (
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

// label returns the text of the disturbance in a chart.
func (d Disturbance) label(whom string) string {
	switch d {
	case Restart:
		return whom + " down"
	case Pause:
		return whom + " stopped"
	case Split:
		return "split: " + whom + " cut off"
	case Flap:
		return "links of " + whom + " flap"
	case Skew:
		return "clock of " + whom + " off"
	case Rolling:
		return "one after the other restarted"
	case OriginSlow:
		return "origin slow"
	case OriginFail:
		return "origin fails"
	case Poison:
		return "one key kills its node"
	default:
		return ""
	}
}

// Shade marks the disturbance in a chart: as a window or, for Kill, as a moment. whom names the
// victims.
func (d Disturbance) Shade(c *report.Chart, w Window, whom string) {
	if d == Kill {
		c.Marks = append(c.Marks, report.Mark{At: w.Start.Seconds(), Label: whom + " killed"})
		return
	}
	if label := d.label(whom); label != "" {
		c.Windows = append(c.Windows, w.Shaded(label))
	}
}

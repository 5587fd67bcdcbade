package debug

import (
	"fmt"
	"math"
	"time"

	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/internal/human"
)

// attend adds something unusual to v.
func (v *Section) attend(format string, args ...any) {
	v.Attention = append(v.Attention, Attention{v.Name, fmt.Sprintf(format, args...)})
}

// findAttention finds what is unusual in v. slow is the age from which a flight is.
func (v *Section) findAttention(slow time.Duration) {
	v.findHanging(slow)
	if r := v.Resting; r.Total > 0 {
		v.attend("%s after failures; the first one: %s",
			human.Plural(r.Total, "key rests", "keys rest"), r.Rows[0].Error)
	}
	for _, c := range v.counts {
		perSecond := v.PerSecond[c.Name]
		switch {
		case c.Attention == "":
		case c.Gauge && c.Value > 0:
			v.attend("%s (%s)", c.Attention, human.Count(c.Value))
		case perSecond > 0:
			v.attend("%s (%s in the last %s)", c.Attention,
				human.Plural(int(perSecond*v.WindowSeconds+0.5), "time", "times"),
				human.Plain(seconds(math.Ceil(v.WindowSeconds))))
		}
	}
	for _, m := range v.Members {
		switch {
		case m.Self:
		case m.Differs != "":
			v.attend("%s is never asked: %s", m.Node, m.Differs)
		case m.Breaker != "" && m.Breaker != "closed":
			v.attend("%s is passed over: %s", m.Node, m.Failure)
		case !m.Synced:
			v.attend("%s does not have all deletes yet", m.Node)
		}
	}
}

// findHanging finds flights that hang.
func (v *Section) findHanging(slow time.Duration) {
	f := v.Flights
	oldest := 0.0
	bad := f.States[courier.Late.String()] + f.States[courier.Abandoned.String()]
	where := ""
	for i := range f.Rows { // the oldest first
		row := &f.Rows[i]
		late := row.State == courier.Late.String() || row.State == courier.Abandoned.String()
		if !late && row.AgeSeconds >= slow.Seconds() {
			bad++
		}
		if where == "" && (late || row.AgeSeconds >= slow.Seconds()) {
			oldest, where = max(oldest, row.AgeSeconds), row.Where
			if where == "" {
				where = row.State
			}
		}
	}
	if bad == 0 {
		return
	}
	text := fmt.Sprintf("%s; the oldest is %s old", human.Plural(bad, "flight hangs", "flights hang"),
		human.Duration(seconds(oldest)))
	if where != "" {
		text += ": " + where
	}
	v.attend("%s", text)
}

// seconds returns a duration.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

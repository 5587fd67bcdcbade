package report

import "fmt"

// A look is what tells a line from the others of its chart.
type look struct {
	class string // colour and dash
	shape string // of its markers, drawn around a point; empty: it has none
}

// dashes and shapes make up the looks: each pair of them is one, so that lines differ even where
// colours don't. The style sheet has the dashes: none, long, short.
const dashes = 3

var shapes = []string{"", "m-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z", "m-3.5,-3.5h7v7h-7z",
	"m0,-5l4.5,8h-9z"}

// looks gives each line a look that no other has, up to 12 lines. The first line of a role always
// has the look of the role.
func (c *Chart) looks() []look {
	all := make([]look, len(c.Lines))
	count, taken := make(map[Role]int), make(map[int]bool)
	for i, l := range c.Lines {
		if dash, ok := roleDash[l.Role]; ok {
			slot := dash + dashes*count[l.Role]
			count[l.Role]++
			taken[slot] = true
			all[i] = newLook(string(l.Role), slot, slot >= dashes)
		}
	}
	slot := 0
	for i, l := range c.Lines {
		if all[i].class == "" {
			for taken[slot] {
				slot++
			}
			all[i] = newLook(fmt.Sprintf("p%d", slot%(dashes*len(shapes))), slot,
				slot >= dashes*len(shapes))
			slot++
		}
		if l.Bold {
			all[i].class += " bold"
		}
	}
	return all
}

var roleDash = map[Role]int{FixOn: 0, FixOff: 1, Stale: 2}

func newLook(class string, slot int, second bool) look {
	if second {
		class += " second"
	}
	return look{class, shapes[slot/dashes%len(shapes)]}
}

// sample draws a piece of a line with this look for a legend.
func (l look) sample(x, y float64) string {
	text := fmt.Sprintf(`<path class="line %s" d="M%s,%sh30"/>`, l.class, px(x), px(y))
	if l.shape != "" {
		text += fmt.Sprintf(`<path class="dot %s" d="M%s,%s%s"/>`, l.class, px(x+15), px(y), l.shape)
	}
	return text
}

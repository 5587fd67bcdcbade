package table

import (
	"slices"

	"github.com/jedib0t/go-pretty/v6/text"
)

// gap is the space between columns.
const gap = 3

// numbersCost weighs the lines that broken numbers add: a broken text is easier to read.
const numbersCost = 2

// hanging indents the second and further lines of a row's name, so that rows can be told apart.
const hanging = 2

// A column holds the texts of a table's column, split into words.
type column struct {
	index  int        // in the table
	texts  [][]string // of the head and of all rows
	number bool
	indent int
	width  int
	height []int // lines of each text
}

// columns returns the columns at their full width.
func (t *Table) columns() []*column {
	all := make([]*column, len(t.Columns))
	for i, head := range t.Columns {
		c := &column{index: i, number: t.Numeric(i),
			texts: [][]string{words(heading(Text(head.Title).text, head.Better))}}
		if i == 0 {
			c.indent = hanging
		}
		for r := range t.Rows {
			c.texts = append(c.texts, words(t.cellText(r, i)))
		}
		const unbounded = 1 << 30
		c.resize(unbounded)
		all[i] = c
	}
	return all
}

// least returns the width that column c needs if no word is cut.
func (c *column) least() int {
	least := 1
	for _, words := range c.texts {
		for i, w := range words {
			size := text.StringWidth(w)
			if i > 0 {
				size += c.indent
			}
			least = max(least, size)
		}
	}
	return least
}

// resize breaks the lines of c at width, and sets how wide and high its texts are then.
func (c *column) resize(width int) {
	c.width, c.height = 1, make([]int, len(c.texts))
	for i, words := range c.texts {
		all := lines(words, width, c.indent)
		c.height[i] = len(all)
		for _, line := range all {
			c.width = max(c.width, text.StringWidth(line))
		}
	}
}

// blocks returns the columns in blocks that fit width; a width of 0 fits any table. One block is
// enough if the table fits once its lines are broken. Otherwise each block has the columns that
// name the rows, and as many others as fit.
func (t *Table) blocks(width int) [][]*column {
	all := t.columns()
	if len(all) == 0 {
		return nil
	}
	if width <= 0 || shrink(all, width) {
		return [][]*column{all}
	}
	keys := min(t.Keys(), len(all)-1)
	room := width - total(all[:keys])
	parts := pack(all[keys:], room, len(all))
	// No more blocks than needed, but with as many columns each.
	if even := pack(all[keys:], room, (len(all)-keys+len(parts)-1)/len(parts)); len(even) ==
		len(parts) {
		parts = even
	}
	var blocks [][]*column
	for _, part := range parts {
		block := slices.Concat(t.columns()[:keys], part)
		if !shrink(block, width) {
			force(block, width)
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// pack splits columns into parts that fit width and have at most the given number of columns. A
// part has one column at least, even if that does not fit.
func pack(columns []*column, width, most int) [][]*column {
	var parts [][]*column
	for len(columns) > 0 {
		n := 1
		for n < min(most, len(columns)) && total(columns[:n+1]) <= width {
			n++
		}
		parts, columns = append(parts, columns[:n]), columns[n:]
	}
	return parts
}

// shrink narrows columns until they fit width together: each time the one whose broken lines make
// the table the least longer for what they save. It reports false, and changes nothing, if words
// would have to be cut.
func shrink(columns []*column, width int) bool {
	least := make([]int, len(columns))
	sum := 0
	for i, c := range columns {
		least[i] = min(c.least(), c.width)
		sum += least[i] + gap
	}
	if sum > width {
		return false
	}
	for total(columns) > width {
		best, cost := -1, 0.0
		before := rows(columns)
		for i, c := range columns {
			was := *c
			if was.width == least[i] {
				continue
			}
			c.resize(max(least[i], was.width-1))
			saved := was.width - c.width
			longer := float64(rows(columns)-before+1) / float64(saved)
			if c.number {
				longer *= numbersCost
			}
			if saved > 0 && (best < 0 || longer < cost) {
				best, cost = i, longer
			}
			*c = was
		}
		if best < 0 {
			return false
		}
		columns[best].resize(columns[best].width - 1)
	}
	return true
}

// force makes columns as narrow as they must be, and cuts words.
func force(columns []*column, width int) {
	each := max(1, (width-gap*len(columns))/len(columns))
	for _, c := range columns {
		for i := range c.texts {
			c.texts[i] = cut(c.texts[i], max(1, each-c.indent))
		}
		c.resize(each)
	}
}

// total returns the width of columns beside each other.
func total(columns []*column) int {
	sum := 0
	for _, c := range columns {
		sum += c.width + gap
	}
	return sum
}

// rows returns how many lines the columns take beside each other.
func rows(columns []*column) int {
	sum := 0
	for i := range columns[0].height {
		highest := 1
		for _, c := range columns {
			highest = max(highest, c.height[i])
		}
		sum += highest
	}
	return sum
}

package table

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/snowfence/snowfence/internal/human"
)

// Cell is a text, or a number with its unit. The zero value is an empty text.
type Cell struct {
	text  string
	unit  string
	value float64
	// number is false for a text and for a missing number.
	number bool
}

// Text is a cell that is not compared. Control characters become spaces.
func Text(s string) Cell {
	return Cell{text: strings.Map(func(r rune) rune {
		// Bidirectional overrides could make a row read as something else.
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))}
}

// Missing is a dash: the value does not exist.
func Missing() Cell { return Cell{text: human.Missing} }

// Duration shows d; its value is in seconds.
func Duration(d time.Duration) Cell { return numeric(human.Duration(d), "s", d.Seconds()) }

// Seconds shows a number of seconds, and a dash for NaN.
func Seconds(s float64) Cell { return numeric(human.Seconds(s), "s", s) }

// Count shows a number of things.
func Count[N int | int64 | uint64](n N) Cell { return numeric(human.Count(n), "", float64(n)) }

// Counts shows numbers of things with slashes between, and has the value of the first.
func Counts[N int | int64 | uint64](ns ...N) Cell {
	words := make([]string, len(ns))
	for i, n := range ns {
		words[i] = human.Count(n)
	}
	return numeric(strings.Join(words, " / "), "", float64(ns[0]))
}

// Number shows a number without a unit.
func Number(f float64) Cell { return numeric(human.Number(f), "", f) }

// Rate shows something per second.
func Rate(perSecond float64) Cell { return numeric(human.Rate(perSecond), "1/s", perSecond) }

// Bytes shows a size.
func Bytes(n float64) Cell { return numeric(human.Bytes(n), "B", n) }

// Percent shows a fraction of one as a percentage; its value is the fraction.
func Percent(fraction float64) Cell { return numeric(human.Percent(fraction), "ratio", fraction) }

// As is the cell with another text, which says more than its number. What has no
// number stays as it is.
func (c Cell) As(text string) Cell {
	if c.number {
		c.text = Text(text).text
	}
	return c
}

// String returns the text as it is shown.
func (c Cell) String() string { return c.text }

// IsNumber reports whether the cell has a value. A number that was NaN or
// infinite has none, and shows a dash.
func (c Cell) IsNumber() bool { return c.number }

// Value returns the number in its base unit ("s", "1/s", "B", "ratio" or "")
// and false for a text.
func (c Cell) Value() (value float64, unit string, ok bool) { return c.value, c.unit, c.number }

// MarshalJSON writes a text as a string, a missing value as null, and a number
// as {"value": ..., "unit": ..., "text": ...}.
func (c Cell) MarshalJSON() ([]byte, error) {
	switch {
	case c.number:
		return json.Marshal(struct {
			Value float64 `json:"value"`
			Unit  string  `json:"unit,omitempty"`
			Text  string  `json:"text"`
		}{c.value, c.unit, c.text})
	case c.text == human.Missing:
		return []byte("null"), nil
	}
	return json.Marshal(c.text)
}

func numeric(text, unit string, value float64) Cell {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return Missing()
	}
	return Cell{text: text, unit: unit, value: value, number: true}
}

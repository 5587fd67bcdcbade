package params

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// parse sets v to what text says.
func parse(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	wrong := fmt.Errorf("must be %s, got %s", describe(v.Type()), strconv.Quote(brief(text)))
	switch t := v.Type(); {
	case t == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return wrong
		}
		v.SetInt(int64(d))
	case t.Kind() == reflect.String:
		v.SetString(text)
	case t.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return wrong
		}
		v.SetBool(text == "true")
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, t.Bits())
		if err != nil {
			return wrong
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, t.Bits())
		if err != nil {
			return wrong
		}
		v.SetUint(n)
	case v.CanFloat():
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return wrong
		}
		v.SetFloat(n)
	case t.Kind() == reflect.Slice:
		return parseList(v, text)
	default:
		panic("params: no parser for " + t.String())
	}
	return nil
}

// parse sets the field's value, or a value of its type, to what text says.
func (f *field) parse(v reflect.Value, text string) error {
	if choices := f.choices(); choices != nil {
		words := []string{text}
		if v.Kind() == reflect.Slice {
			words = strings.Split(text, ",")
		}
		for _, word := range words {
			if err := choose(strings.TrimSpace(word), choices); err != nil {
				return err
			}
		}
	}
	return parse(v, text)
}

// parseList sets v to the values in text, which have commas between them.
func parseList(v reflect.Value, text string) error {
	list := reflect.MakeSlice(v.Type(), 0, 4)
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		item := reflect.New(v.Type().Elem()).Elem()
		if err := parse(item, part); err != nil {
			return err
		}
		word := format(item) // 01 is 1
		if seen[word] {
			return fmt.Errorf("%s stands there twice", word)
		}
		seen[word] = true
		list = reflect.Append(list, item)
	}
	v.Set(list)
	return nil
}

// choose returns an error unless text is one of the choices.
func choose(text string, choices []string) error {
	if slices.Contains(choices, text) {
		return nil
	}
	hint := ""
	if near := nearest(text, choices); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	return fmt.Errorf("must be one of %s, got %s%s", strings.Join(choices, ", "),
		strconv.Quote(brief(text)), hint)
}

// format returns the field's value as text that parse understands.
func (f *field) format() string { return format(f.value) }

func format(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return fmt.Sprintf("(%v)", err)
		}
		return string(text)
	}
	switch t := v.Type(); {
	case t == durationType:
		return Duration(time.Duration(v.Int()))
	case t.Kind() == reflect.String:
		return v.String()
	case t.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case t.Kind() == reflect.Slice:
		var words []string
		for i := range v.Len() {
			words = append(words, format(v.Index(i)))
		}
		return strings.Join(words, ",")
	default:
		panic("params: no text for " + t.String())
	}
}

// Duration returns d as people write it: 1m and not 1m0s.
func Duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// describe says what the text of a value must be.
func describe(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 250ms"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Uint32, t.Kind() == reflect.Uint64:
		return "a whole number from 0 on"
	default:
		return "text"
	}
}

// kindOf returns the placeholder that values of a type have in help.
func kindOf(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration"
	case t.Kind() == reflect.Bool:
		return "bool" // pflag then shows none
	case t.Kind() == reflect.Slice:
		return kindOf(t.Elem()) + ",..."
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Uint32, t.Kind() == reflect.Uint64:
		return "n"
	default:
		return "kind"
	}
}

// MarshalJSON returns an object with the fields that Text has, in the order of the struct: numbers
// and truth values as such, and everything else as the text that flags and files have. It is a
// scenario file that gives the same run.
func (s *Set) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for _, f := range s.fields {
		if f.unused {
			continue
		}
		var value any = f.format()
		if f.isNumber() || f.value.Kind() == reflect.Bool {
			value = f.value.Interface()
		}
		name, err := json.Marshal(f.name)
		text, err2 := json.Marshal(value)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, name...), ':'), text...)
	}
	return append(b, '}'), nil
}

// quoted returns text as a YAML value that is text.
func quoted(text string) string {
	out, err := yaml.Marshal(text)
	if err != nil {
		return strconv.Quote(text)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// brief keeps a file's text from filling an error.
func brief(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// nearest returns the candidate that a misspelt word is most like, if one is near enough to be
// meant.
func nearest(word string, candidates []string) string {
	const longest = 30 // no candidate is longer
	if len(word) > longest {
		return ""
	}
	// Two letters in the wrong order are two replaced; half of a short word replaced is another
	// word.
	best, most := "", min(3, len(word)/2)+1
	for _, c := range candidates {
		if d := distance(word, c); d < most {
			best, most = c, d
		}
	}
	return best
}

// distance returns the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

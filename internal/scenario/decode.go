package scenario

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A decoder fills a Scenario from YAML nodes. The YAML library can fill structs
// itself, but tells neither the path of a wrong field nor all that is wrong.
type decoder struct {
	source *source
	set    bool // the value comes from Set and not from the file
	errs   []*FieldError
}

func (d *decoder) fail(node *yaml.Node, path, format string, args ...any) {
	e := &FieldError{Field: path, Reason: fmt.Sprintf(format, args...)}
	if d.set {
		e.Field = cmp.Or(d.source.names[path], path)
	} else {
		e.File, e.Line = d.source.file, max(node.Line, 1)
	}
	d.errs = append(d.errs, e)
}

func (d *decoder) document(doc *yaml.Node, s *Scenario) {
	root := doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		root = doc.Content[0]
	}
	d.value(root, reflect.ValueOf(s).Elem(), "")
}

// field decodes the node into the field at path.
func (d *decoder) field(node *yaml.Node, s *Scenario, path string) {
	v, at := reflect.ValueOf(s).Elem(), ""
	for name := range strings.SplitSeq(path, ".") {
		next, ok := reflect.Value{}, false
		if isSection(v.Type()) {
			next, ok = fieldByName(v, name)
		}
		if !ok {
			d.unknown(node, v.Type(), at, name)
			return
		}
		v, at = next, join2(at, name)
	}
	if isSection(v.Type()) {
		d.fail(node, path, "is a section; set one of its fields: %s",
			strings.Join(fieldNames(v.Type()), ", "))
		return
	}
	if v.Kind() == reflect.String {
		// What a flag gives is text, whatever it looks like.
		node.Tag = "!!str"
	}
	d.source.lines[path] = setLine
	d.value(node, v, path)
}

// value decodes the node into v, whose path is given.
func (d *decoder) value(node *yaml.Node, v reflect.Value, path string) {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		// A few aliases of aliases could stand for gigabytes.
		d.fail(node, path, "anchors and aliases are not allowed")
		return
	case node.Style&yaml.TaggedStyle != 0:
		d.fail(node, path, "tags such as %s are not allowed", node.Tag)
		return
	}
	if isSection(v.Type()) {
		d.section(node, v, path)
		return
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null" {
		d.fail(node, path, "must be %s, got %s", describeType(v.Type()), describeNode(node))
		return
	}
	if err := scalar(node, v); err != "" {
		d.fail(node, path, "%s", err)
	}
}

// section decodes a mapping into a struct.
func (d *decoder) section(node *yaml.Node, v reflect.Value, path string) {
	if node.Kind != yaml.MappingNode {
		d.fail(node, path, "must be a mapping of fields, got %s", describeNode(node))
		return
	}
	first := make(map[string]int) // the line that a name stood on first
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" {
			d.fail(key, path, "the name of a field must be plain text, got %s", describeNode(key))
			continue
		}
		name := key.Value
		if line, ok := first[name]; ok {
			d.fail(key, join2(path, name), "stands there twice, first on line %d", line)
			continue
		}
		first[name] = key.Line
		field, ok := fieldByName(v, name)
		if !ok {
			d.unknown(key, v.Type(), path, name)
			continue
		}
		d.source.lines[join2(path, name)] = key.Line
		d.value(value, field, join2(path, name))
	}
}

func (d *decoder) unknown(node *yaml.Node, t reflect.Type, path, name string) {
	hint := ""
	if isSection(t) {
		if near := nearest(name, fieldNames(t)); near != "" {
			hint = fmt.Sprintf(" (did you mean %s?)", near)
		}
	}
	const most = 60
	if len(name) > most {
		name = name[:most] + "..."
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		name = strconv.Quote(name)
	}
	d.fail(node, join2(path, name), "unknown field%s", hint)
}

var durationType = reflect.TypeFor[time.Duration]()

// scalar sets v, and returns what is wrong with the node's text or nothing.
func scalar(node *yaml.Node, v reflect.Value) string {
	text := node.Value
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err.Error()
		}
		return ""
	}
	wrong := func() string {
		return fmt.Sprintf("must be %s, got %s", describeType(v.Type()), describeNode(node))
	}
	tag := node.ShortTag()
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return wrong()
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		if tag != "!!str" {
			return wrong() + "; quote it"
		}
		v.SetString(text)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if tag != "!!int" || err != nil {
			return wrong()
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if tag != "!!int" || err != nil {
			return wrong()
		}
		v.SetUint(n)
	case v.CanFloat():
		f, err := strconv.ParseFloat(text, 64)
		if tag != "!!int" && tag != "!!float" || err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return wrong()
		}
		v.SetFloat(f)
	case v.Kind() == reflect.Bool:
		if tag != "!!bool" || text != "true" && text != "false" {
			return wrong()
		}
		v.SetBool(text == "true")
	default:
		panic("scenario: no decoding for " + v.Type().String()) // a field was added without it
	}
	return ""
}

func describeNode(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if node.ShortTag() == "!!null" {
		return "nothing"
	}
	const most = 60
	if len(node.Value) > most {
		return strconv.Quote(node.Value[:most]) + "..."
	}
	if node.ShortTag() == "!!str" {
		return strconv.Quote(node.Value)
	}
	return node.Value
}

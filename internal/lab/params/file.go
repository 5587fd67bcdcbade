package params

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFileSize is the largest scenario file, in bytes.
const MaxFileSize = 64 << 10

// The fields that every scenario file may have besides the parameters.
var headers = []string{"name", "description", "experiment"}

// ReadFile reads a scenario file: a YAML mapping of names to values, of which JSON is a part. It
// must be for that experiment, if it says for which it is. All that is wrong is returned, each
// as a *FieldError with the file's line.
func (s *Set) ReadFile(path, experiment string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--scenario: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("--scenario: %w", err)
	}
	if err := s.Parse(path, data, experiment); err != nil {
		return err
	}
	for _, f := range s.fields { // paths start at the file's folder
		if _, isPath := f.tag.Lookup("file"); isPath && f.source == fromFile &&
			f.value.Kind() == reflect.String {
			if text := f.value.String(); text != "" && !filepath.IsAbs(text) {
				f.value.SetString(filepath.Join(filepath.Dir(path), text))
			}
		}
	}
	return nil
}

// Parse is ReadFile for text that was read already. Paths in it stay as they are.
func (s *Set) Parse(file string, data []byte, experiment string) error {
	whole := func(line int, reason string) error {
		return &FieldError{File: file, Line: max(line, 1), Reason: reason}
	}
	if len(data) > MaxFileSize {
		return whole(1, fmt.Sprintf("must be at most %d bytes", MaxFileSize))
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return whole(1, "is empty")
	case err != nil:
		return syntaxError(file, err)
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return syntaxError(file, err)
	default:
		return whole(second.Line, "a second document; a file holds one scenario")
	}
	s.file = file
	root := &doc
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		root = doc.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		return whole(root.Line, "must be a mapping of names to values, got "+describeNode(root))
	}
	d := &decoding{set: s, experiment: experiment, first: make(map[string]int)}
	for i := 0; i+1 < len(root.Content); i += 2 {
		d.pair(root.Content[i], root.Content[i+1])
	}
	if s.name == "" {
		base := filepath.Base(file)
		s.name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return join(d.errs)
}

// A decoding takes over the fields of a file.
type decoding struct {
	set        *Set
	experiment string
	first      map[string]int // the line that a name stood on first
	errs       []*FieldError
}

func (d *decoding) fail(node *yaml.Node, name, format string, args ...any) {
	d.errs = append(d.errs, &FieldError{File: d.set.file, Line: max(node.Line, 1), Field: name,
		Reason: fmt.Sprintf(format, args...)})
}

// pair takes over one name and its value.
func (d *decoding) pair(key, value *yaml.Node) {
	if key.Kind != yaml.ScalarNode || key.Anchor != "" {
		d.fail(key, "", "a name must be plain text, got %s", describeNode(key))
		return
	}
	name := key.Value
	if line, ok := d.first[name]; ok {
		d.fail(key, name, "stands there twice, first on line %d", line)
		return
	}
	d.first[name] = key.Line
	f := d.set.byName[name]
	if f == nil && !isHeader(name) {
		d.unknown(key, name)
		return
	}
	text, ok := d.text(value, name, f != nil && f.value.Kind() == reflect.Slice)
	if !ok {
		return
	}
	if f == nil {
		d.header(key, name, text)
		return
	}
	f.source, f.line = fromFile, key.Line
	if err := f.parse(f.value, text); err != nil {
		d.fail(key, name, "%s", err)
	}
}

// text returns a value, which may be a list if list is true, as a flag would have it: a list has
// commas between its values.
func (d *decoding) text(node *yaml.Node, name string, list bool) (text string, ok bool) {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		// A few aliases of aliases could stand for gigabytes.
		d.fail(node, name, "anchors and aliases are not allowed")
	case node.Style&yaml.TaggedStyle != 0:
		d.fail(node, name, "tags such as %s are not allowed", node.Tag)
	case node.Kind == yaml.SequenceNode && list:
		var words []string
		for _, item := range node.Content {
			word, ok := d.text(item, name, false)
			if !ok {
				return "", false
			}
			words = append(words, word)
		}
		return strings.Join(words, ","), true
	case node.Kind != yaml.ScalarNode || node.ShortTag() == "!!null":
		d.fail(node, name, "must be one value, got %s", describeNode(node))
	default:
		return node.Value, true
	}
	return "", false
}

func isHeader(name string) bool {
	for _, h := range headers {
		if h == name {
			return true
		}
	}
	return false
}

func (d *decoding) header(key *yaml.Node, name, text string) {
	switch name {
	case "name":
		d.set.name = text
	case "description":
		d.set.description = text
	case "experiment":
		if text != d.experiment {
			d.fail(key, name, "is %s: this is no scenario of cachebench %s",
				strconv.Quote(brief(text)), d.experiment)
		}
	}
}

func (d *decoding) unknown(node *yaml.Node, name string) {
	hint := ""
	if near := nearest(name, append(d.set.names(), headers...)); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	shown := brief(name)
	if strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		shown = strconv.Quote(shown)
	}
	d.fail(node, shown, "unknown field%s", hint)
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
	return strconv.Quote(brief(node.Value))
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntaxError takes the line out of an error of the YAML library, which has it in its text alone.
func syntaxError(file string, err error) error {
	text, line := err.Error(), 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	return &FieldError{File: file, Line: line,
		Reason: "is not YAML: " + strings.TrimPrefix(text, "yaml: ")}
}

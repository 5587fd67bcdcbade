package scenario

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFileSize is the largest scenario file, in bytes.
const MaxFileSize = 64 << 10

// source is where the fields of a scenario came from.
type source struct {
	file  string
	lines map[string]int    // by path; setLine for a field whose value is not the file's
	names map[string]string // by path; see Scenario.Call
}

const setLine = -1

// from returns the source of s, new if it was made in a program.
func (s *Scenario) from() *source {
	if s.source == nil {
		s.source = &source{}
	}
	if s.source.lines == nil {
		s.source.lines = make(map[string]int)
	}
	return s.source
}

// Call makes errors call a field by name, such as "--rate", wherever its value is not that of
// the file.
func (s *Scenario) Call(field, name string) {
	from := s.from()
	if from.names == nil {
		from.names = make(map[string]string)
	}
	from.names[field] = name
}

// Overridden notes that the caller changed fields itself, so that errors do not blame the file
// for their values.
func (s *Scenario) Overridden(fields ...string) {
	for _, field := range fields {
		s.from().lines[field] = setLine
	}
}

// Forget makes s a scenario that did not come from a file, for one that is part of a program:
// its user has no such file to look into.
func (s *Scenario) Forget() { s.source = nil }

// NameOf returns what errors call a field: its path, or what Call says if its value is not that
// of the file.
func (s *Scenario) NameOf(field string) string {
	if file, _ := s.position(field); file == "" && s.source != nil {
		return cmp.Or(s.source.names[field], field)
	}
	return field
}

// Load reads the scenario file at path and validates it. A scenario without a
// name gets that of the file.
func Load(path string) (_ *Scenario, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	defer func() {
		if e := file.Close(); err == nil && e != nil {
			err = fmt.Errorf("scenario: %w", e)
		}
	}()
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return Parse(path, data)
}

// Parse is Load for text that was read already. The file's name stands in
// errors, and paths in the text start at its folder.
func Parse(file string, data []byte) (*Scenario, error) {
	whole := func(line int, reason string) error {
		return &FieldError{File: file, Line: max(line, 1), Reason: reason}
	}
	if len(data) > MaxFileSize {
		return nil, whole(1, fmt.Sprintf("is over the limit of %d bytes", MaxFileSize))
	}
	yamlDecoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := yamlDecoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, whole(1, "is empty")
	case err != nil:
		return nil, syntaxError(file, err)
	}
	var second yaml.Node
	switch err := yamlDecoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxError(file, err)
	default:
		return nil, whole(second.Line, "a second document; a file holds one scenario")
	}

	s := Default()
	s.from().file = file
	d := &decoder{source: s.source}
	d.document(&doc, s)
	errs := slices.Concat(d.errs, s.unusedFields())
	// A field that could not be read still has its default, which is valid: so
	// nothing is reported twice.
	errs = append(errs, s.invalidFields()...)
	if err := join(errs); err != nil {
		return nil, err
	}
	if s.Name == "" {
		base := filepath.Base(file)
		s.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return s, nil
}

// Set gives the field at a path, such as keys.skew, a value that is written as
// in a file. It is for flags that override a file. The scenario is not
// validated: fields that depend on each other may need several calls.
func (s *Scenario) Set(field, value string) error {
	node := yaml.Node{Kind: yaml.ScalarNode, Value: value}
	node.Tag = node.ShortTag() // as the value would be understood without quotes
	d := &decoder{source: s.from(), set: true}
	d.field(&node, s, field)
	return join(d.errs)
}

// YAML returns the whole scenario as text that Parse reads back, with defaults,
// but without what means nothing to its kind of scenario or of keys. The path of
// a trace is as TracePath has it.
func (s *Scenario) YAML() ([]byte, error) {
	whole := *s
	whole.Keys.Trace = s.TracePath()
	var node yaml.Node
	if err := node.Encode(&whole); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	s.dropUnused(&node, "")
	text, err := yaml.Marshal(&node)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return text, nil
}

// dropUnused takes out of a mapping what the scenario does not use.
func (s *Scenario) dropUnused(node *yaml.Node, path string) {
	for i := 0; i+1 < len(node.Content); {
		at := join2(path, node.Content[i].Value)
		if used, _ := s.uses(at); !used {
			node.Content = slices.Delete(node.Content, i, i+2)
			continue
		}
		if value := node.Content[i+1]; value.Kind == yaml.MappingNode {
			s.dropUnused(value, at)
		}
		i += 2
	}
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntaxError takes the line out of an error of the YAML library.
func syntaxError(file string, err error) error {
	text, line := err.Error(), 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = text[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	return &FieldError{File: file, Line: line, Reason: "is not YAML: " +
		strings.TrimPrefix(text, "yaml: ")}
}

package params

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A Set is the parameters of a struct. It is not safe for concurrent use.
type Set struct {
	fields []*field
	byName map[string]*field

	file        string // the scenario file; empty without
	name        string
	description string
}

// A field is one parameter.
type field struct {
	name  string
	tag   reflect.StructTag
	value reflect.Value

	flagText  string // what the flag was given
	flagGiven bool
	source    source
	line      int  // in the file
	unused    bool // it means nothing beside the others: see Checker.Unused
}

// A source says where a field's value came from.
type source int

const (
	fromDefault source = iota
	fromFile
	fromFlag
	fromRule // a rule that depends on other fields: see Set.Derive
)

// Of returns the parameters of the struct that target points to, which holds the defaults. It
// panics if a field has a type that can't be read from text, since that is a mistake of the
// program.
func Of(target any) *Set {
	s := &Set{byName: make(map[string]*field)}
	s.collect(reflect.ValueOf(target).Elem())
	return s
}

func (s *Set) collect(v reflect.Value) {
	for i := range v.NumField() {
		at := v.Type().Field(i)
		name := at.Tag.Get("name")
		switch {
		case name == "" && at.Anonymous && at.Type.Kind() == reflect.Struct:
			s.collect(v.Field(i))
		case name == "":
		case s.byName[name] != nil:
			panic("params: two fields are called " + name)
		default:
			f := &field{name: name, tag: at.Tag, value: v.Field(i)}
			f.format() // panics
			s.fields = append(s.fields, f)
			s.byName[name] = f
		}
	}
}

// field returns the field of that name, which the program must have.
func (s *Set) field(name string) *field {
	if f := s.byName[name]; f != nil {
		return f
	}
	panic("params: no field is called " + name)
}

// Name returns the name of the scenario, empty without a file.
func (s *Set) Name() string { return s.name }

// Description returns the sentence with which the scenario file describes itself.
func (s *Set) Description() string { return s.description }

// Given reports whether a flag or the file gave the field its value.
func (s *Set) Given(name string) bool {
	from := s.field(name).source
	return from == fromFlag || from == fromFile
}

// Derive notes that the program changed fields because of others, so that errors say so: "--end
// (in proportion to --duration)".
func (s *Set) Derive(names ...string) {
	for _, name := range names {
		s.field(name).source = fromRule
	}
}

// Forget makes the values of now the defaults, as if no file had given them: for a scenario that
// is a part of the program.
func (s *Set) Forget() {
	s.file, s.name, s.description = "", "", ""
	for _, f := range s.fields {
		f.source = fromDefault
	}
}

// AddFlags defines a flag for each field. Its default, as shown in help, is the field's value.
func (s *Set) AddFlags(cmd *cobra.Command) {
	for _, f := range s.fields {
		flag := cmd.Flags().VarPF(f, f.name, "", f.help())
		if f.value.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
		if f.tag.Get("more") != "" {
			flag.Hidden = true
		}
		f.complete(cmd)
	}
}

func (f *field) complete(cmd *cobra.Command) {
	var err error
	words := f.choices()
	if suggested, ok := f.tag.Lookup("suggest"); ok {
		words = strings.Split(suggested, ",")
	}
	if words != nil {
		err = cmd.RegisterFlagCompletionFunc(f.name, f.completions(words))
	} else if endings, ok := f.tag.Lookup("file"); ok {
		err = cmd.MarkFlagFilename(f.name, strings.FieldsFunc(endings,
			func(r rune) bool { return r == ',' })...)
	}
	if err != nil {
		panic(err) // the flag was defined just now
	}
}

// completions returns the function that completes a word or, of a list, the last word.
func (f *field) completions(words []string) cobra.CompletionFunc {
	if f.value.Kind() != reflect.Slice {
		return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	}
	return func(_ *cobra.Command, _ []string, typed string) (
		[]cobra.Completion, cobra.ShellCompDirective,
	) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		var all []cobra.Completion
		for _, w := range words {
			all = append(all, before+w)
		}
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

func (f *field) help() string {
	help := f.tag.Get("help")
	if zero := f.tag.Get("zero"); zero != "" {
		help += "; 0: " + zero
	}
	return help
}

// String returns what the flag was given, or the default, for package pflag.
func (f *field) String() string {
	if f.flagGiven {
		return f.flagText
	}
	return f.format()
}

// Set keeps the text of a flag for ApplyFlags, for package pflag.
func (f *field) Set(text string) error {
	// It is read into a copy, so that what is wrong is known at once.
	scratch := reflect.New(f.value.Type()).Elem()
	if err := f.parse(scratch, text); err != nil {
		return err
	}
	f.flagText, f.flagGiven = text, true
	return nil
}

// Type returns the placeholder in help, for package pflag.
func (f *field) Type() string {
	if kind := f.tag.Get("kind"); kind != "" {
		return kind
	}
	return kindOf(f.value.Type())
}

// ApplyFlags gives fields the values of the flags that were given.
func (s *Set) ApplyFlags() error {
	var errs []error
	for _, f := range s.fields {
		if !f.flagGiven {
			continue
		}
		f.source = fromFlag
		if err := f.parse(f.value, f.flagText); err != nil {
			errs = append(errs, s.fieldError(f, err.Error()))
		}
	}
	return errors.Join(errs...)
}

// names returns the names of all fields.
func (s *Set) names() []string {
	var names []string
	for _, f := range s.fields {
		names = append(names, f.name)
	}
	return names
}

// choices returns the words that the field may be, nil if it may be others.
func (f *field) choices() []string {
	if list, ok := f.tag.Lookup("choices"); ok {
		return strings.Split(list, ",")
	}
	return nil
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// A Field describes a parameter to people.
type Field struct {
	Name, Kind, Default, Help string
	More                      bool // it is left out of the short help
}

// Fields returns the parameters in the order of the struct, with their values of now.
func (s *Set) Fields() []Field {
	var all []Field
	for _, f := range s.fields {
		kind, help := pflag.UnquoteUsage(&pflag.Flag{Name: f.name, Usage: f.help(), Value: f})
		all = append(all, Field{f.name, kind, f.format(), help, f.tag.Get("more") != ""})
	}
	return all
}

// Text returns the scenario as a file that gives the same run, however the fields came to their
// values. Fields that Checker.Unused found to mean nothing are left out.
func (s *Set) Text(experiment string) string {
	var b strings.Builder
	if s.name != "" {
		fmt.Fprintf(&b, "name: %s\n", quoted(s.name))
	}
	if s.description != "" {
		fmt.Fprintf(&b, "description: %s\n", quoted(s.description))
	}
	fmt.Fprintf(&b, "experiment: %s\n", experiment)
	for _, f := range s.fields {
		if !f.unused {
			fmt.Fprintf(&b, "%s: %s\n", f.name, f.fileText())
		}
	}
	return b.String()
}

// fileText returns the field's value as it stands in a file.
func (f *field) fileText() string {
	if f.isNumber() || f.value.Kind() == reflect.Bool {
		return f.format()
	}
	return quoted(f.format())
}

func (f *field) isNumber() bool {
	t := f.value.Type()
	return t != durationType && !reflect.PointerTo(t).Implements(unmarshalerType) &&
		slices.Contains([]reflect.Kind{reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64,
			reflect.Float64}, t.Kind())
}

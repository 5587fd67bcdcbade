// Package params makes flags, the fields of scenario files, their help, completion, validation
// and JSON of one struct.
//
//	type Params struct {
//		Rate  float64       `name:"rate" kind:"per-second" min:"0" help:"events offered per second"`
//		Start time.Duration `name:"start" help:"when the fault begins"`
//	}
//
// A field with a name is a parameter: --rate on the command line and "rate: 500" in a scenario
// file mean the same, and are read by the same rules. Fields of embedded structs count as the
// struct's own, so that experiments can share groups of parameters. Tags:
//
//	name   of the flag and of the field in a file
//	help   one line; a word in backquotes is the placeholder, as in package flag
//	kind   the placeholder where help has none; without both the type gives one
//	min, max, above, below   bounds of a number or a duration
//	choices  the words that a text, or each of a list, may be: "panic,hang"
//	suggest  words that completion offers for a text that may be others too
//	file   completes file names; of these endings if there are any, such as "yaml,yml"
//	more   anything: the flag is left out of the short help
//	zero   what 0 means; it is added to the help
//
// The order is: [Of] the struct with its defaults, [Set.AddFlags], and, once the command line was
// parsed, [Set.ReadFile] and [Set.ApplyFlags], then [Set.Validate]. Read set.go first.
package params

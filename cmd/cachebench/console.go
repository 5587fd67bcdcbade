package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/snowfence/snowfence/internal/progress"
)

// progress returns the live line on standard error, which is silent where that
// is no terminal.
func (o *output) progress() *progress.Line {
	if f, ok := o.Stderr.(*os.File); ok {
		return progress.ForFile(f, o.Quiet)
	}
	return progress.New(o.Stderr, progress.Options{})
}

// writeJSON prints v for machines.
func (o *output) writeJSON(v any) error {
	text, err := indented(v)
	if err != nil {
		return err
	}
	_, err = o.Stdout.Write(text)
	return err
}

func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("result as JSON: %w", err)
	}
	return append(text, '\n'), nil
}

// commandLine is the command as it could be typed again.
func commandLine(cmd *cobra.Command) string {
	words := []string{cmd.CommandPath()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "bool" && f.Value.String() == "true" {
			words = append(words, "--"+f.Name)
			return
		}
		words = append(words, "--"+f.Name, shellWord(flagText(f.Value)))
	})
	return strings.Join(words, " ")
}

// flagText is a flag's value as it could be typed.
func flagText(value pflag.Value) string {
	if list, ok := value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",") // String puts it in brackets, which no flag takes
	}
	return value.String()
}

// shellWord quotes a word where a shell would not take it as it is.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("_-.,:/=+%@", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

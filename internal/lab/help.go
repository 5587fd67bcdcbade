package lab

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snowfence/snowfence/internal/lab/params"
	"github.com/snowfence/snowfence/internal/table"
)

// helpWidth is the width of help texts, in columns.
const helpWidth = 80

// usageTemplate is cobra's template, without the parts that are the same for each command.
const usageTemplate = `Usage:{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{else}}
  {{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}{{topics .}}
`

// topicsOf lists the topics of a command.
func topicsOf(cmd *cobra.Command) string {
	var b strings.Builder
	for _, c := range cmd.Commands() {
		if c.IsAdditionalHelpTopicCommand() {
			root, path, _ := strings.Cut(c.CommandPath(), " ")
			fmt.Fprintf(&b, "\n  %s help %-18s %s", root, path, c.Short)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n\nMore help:" + b.String()
}

// addTopics adds topics to the help of a command, and one that lists its parameters if it has any.
func addTopics(cmd *cobra.Command, topics []Topic, set *params.Set) {
	if set != nil {
		topics = append(topics, Topic{"flags", "every flag and its default",
			flagsText(set)})
	}
	for _, t := range topics {
		topic := &cobra.Command{Use: t.Name, Short: t.Short, Long: paragraphs(t.Text)}
		topic.SetHelpTemplate("{{.Long}}\n")
		cmd.AddCommand(topic)
	}
}

// paragraphs wraps the paragraphs of a text. What is indented or set in columns stays as it is.
func paragraphs(text string) string {
	blocks := strings.Split(strings.Trim(text, "\n"), "\n\n")
	for i, b := range blocks {
		if !strings.Contains(b, "  ") {
			blocks[i] = table.Wrap(b, helpWidth)
		}
	}
	return strings.Join(blocks, "\n\n")
}

// flagsText lists all parameters with their defaults.
func flagsText(set *params.Set) string {
	var b strings.Builder
	b.WriteString("What a scenario file can hold, too, by these names without the dashes.\n")
	for _, f := range set.Fields() {
		fmt.Fprintf(&b, "\n  --%s", f.Name)
		if f.Kind != "" {
			fmt.Fprintf(&b, " %s", f.Kind)
		}
		if f.Default != "" {
			fmt.Fprintf(&b, "  (%s)", f.Default)
		}
		b.WriteString("\n      " + indented(f.Help, 6) + "\n")
	}
	return b.String()
}

// Glossaries returns the terms and their meanings as a list, for a topic of the help.
func Glossaries(terms []Term) string {
	var rows []string
	for _, t := range terms {
		rows = append(rows, t.Row+"\n    "+indented(t.Meaning, 4))
	}
	return strings.Join(rows, "\n")
}

func indented(text string, by int) string {
	return strings.ReplaceAll(table.Wrap(text, helpWidth-by), "\n", "\n"+strings.Repeat(" ", by))
}

package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/snowfence/snowfence/internal/atomicfile"
	"github.com/snowfence/snowfence/internal/table"
)

// WriteTables prints tables, with an empty line after each.
func WriteTables(out io.Writer, tables []*table.Table, markdown bool) error {
	for _, t := range tables {
		if markdown {
			text, err := t.Markdown()
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(out, text); err != nil {
				return err
			}
			continue
		}
		if err := t.WriteText(out, table.StyleFor(out)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes v into a file. An empty path is none.
func WriteJSON(path string, v any) error {
	if path == "" {
		return nil
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "\t")
		return e.Encode(v)
	})
}

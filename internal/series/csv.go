package series

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/snowfence/snowfence/internal/atomicfile"
)

// TimeColumn is the header of the first column of a CSV file: seconds since the start of the run.
const TimeColumn = "t_seconds"

// WriteCSV writes one row for each time at which any of the series has a point, and one column for
// each series. A gap, or a series without a point at that time, is an empty field. Of several
// points at one time the last is written. Numbers are not rounded. If two series have the same
// name, WriteCSV writes nothing and returns an error.
//
// Names become headers of one line. A name that a spreadsheet would take for a formula gets an
// apostrophe in front.
func WriteCSV(w io.Writer, all ...Series) error {
	header := []string{TimeColumn}
	for _, s := range all {
		name := headerName(s.Name)
		if slices.Contains(header, name) {
			return fmt.Errorf("csv: two columns are called %q", name)
		}
		header = append(header, name)
	}
	rows := make(map[float64][]string)
	for i, s := range all {
		for _, p := range s.Ordered() {
			row := rows[p.T]
			if row == nil {
				row = make([]string, len(header))
				row[0] = number(p.T)
				rows[p.T] = row
			}
			row[i+1] = ""
			if !p.Gap() {
				row[i+1] = number(p.V)
			}
		}
	}
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return fmt.Errorf("csv: %w", err)
	}
	for _, t := range slices.Sorted(maps.Keys(rows)) {
		if err := out.Write(rows[t]); err != nil {
			return fmt.Errorf("csv: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("csv: %w", err)
	}
	return nil
}

// WriteCSVFile writes a file as [WriteCSV] does. It creates the folder if necessary, and replaces
// the file whole or not at all.
func WriteCSVFile(path string, all ...Series) error {
	return atomicfile.Write(path, func(w io.Writer) error { return WriteCSV(w, all...) })
}

func headerName(name string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, "�")))
	if name == "" {
		return "unnamed"
	}
	if strings.ContainsRune("=+-@|%", rune(name[0])) {
		return "'" + name
	}
	return name
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

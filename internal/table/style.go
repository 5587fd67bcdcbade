package table

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Style says what the reader's screen can do. The zero value is right for a
// pipe or a file: no escape codes at all.
type Style struct {
	Color bool
}

// StyleFor allows colour if w is a terminal, NO_COLOR is unset or empty and
// TERM is not "dumb".
func StyleFor(w io.Writer) Style {
	f, ok := w.(*os.File)
	return styleFrom(ok && term.IsTerminal(int(f.Fd())), os.Getenv)
}

func styleFrom(terminal bool, getenv func(string) string) Style {
	return Style{Color: terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

package table

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"
)

// Style says what the reader's screen can do. The zero value has no escape codes
// and lines of any width.
type Style struct {
	Color bool
	// Width is how many columns a line may have; 0: any number.
	Width int
}

const (
	usualWidth = 100 // of what is no terminal
	leastWidth = 40
)

// StyleFor allows colour if w is a terminal, NO_COLOR is unset or empty and
// TERM is not "dumb". The width is $COLUMNS, else that of the terminal, else 100.
func StyleFor(w io.Writer) Style {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return styleFrom(false, usualWidth, os.Getenv)
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width == 0 {
		width = usualWidth
	}
	return styleFrom(true, width, os.Getenv)
}

func styleFrom(terminal bool, width int, getenv func(string) string) Style {
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 {
		width = n
	}
	return Style{
		Color: terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
		Width: max(width, leastWidth),
	}
}

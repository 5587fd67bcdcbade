package debug

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/snowfence/snowfence/courier"
)

// The longest texts that are shown, in bytes.
const (
	maxKey   = 120
	maxError = 400
	maxWhere = 300
	maxStack = 4 << 10
	// maxStacks bounds the stacks of a section together.
	maxStacks = 128 << 10

	// leastReplaced is the length of the shortest key that is replaced in error texts. A shorter one
	// would be found in many words.
	leastReplaced = 4
)

// clean returns s without control characters, which are shown as Go would escape them, and no
// longer than most. Marks that change the direction of text, and bytes that are no UTF-8, count as
// such.
func clean(s string, most int) string {
	var b strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		if b.Len()+size > most {
			return b.String() + "…"
		}
		if r == utf8.RuneError && size <= 1 || !unicode.IsPrint(r) {
			quoted := strconv.Quote(s[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// cutLines returns the first lines of s that fit into most.
func cutLines(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:strings.LastIndexByte(s[:most], '\n')+1] + "… and more"
}

// keyText returns what is shown of a key for which its courier would show text.
func (h *Handler) keyText(key any, text string) (shown string) {
	if h.o.KeyText == nil {
		return clean(text, maxKey)
	}
	defer func() {
		if recover() != nil {
			shown = "?"
		}
	}()
	return clean(h.o.KeyText(key), maxKey)
}

// errorText returns what is shown of the error of a key: its text, in which the key is replaced.
func (h *Handler) errorText(c courier.Inspector, key any, err error) (shown string) {
	if err == nil {
		return ""
	}
	defer func() { // the error is the user's
		if recover() != nil {
			shown = "its text can't be had"
		}
	}()
	text := err.Error()
	keys := []any{key}
	if deadlock := (*courier.DeadlockError)(nil); errors.As(err, &deadlock) {
		keys = append(keys, deadlock.Cycle...)
	}
	for _, key := range keys {
		if raw := fmt.Sprint(key); len(raw) >= leastReplaced {
			text = strings.ReplaceAll(text, raw, h.keyText(key, c.KeyText(key)))
		}
	}
	return clean(text, maxError)
}

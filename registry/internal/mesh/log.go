package mesh

import (
	"context"
	"log/slog"
	"strings"

	"github.com/snowfence/snowfence/internal/eventlog"
)

// A logWriter gets memberlist's lines. Their text, for which there is no typed way, decides on the
// level; and on a rejection, for the lines of keyTrouble. Most of what memberlist calls an error is
// normal for a network, and goes to the debug level; a few lines are for the operator.
type logWriter struct {
	log      *slog.Logger
	repeats  *eventlog.Limiter
	rejected func(from string, err error)
}

// news lists the lines above the debug level, by a part of their text.
var news = []struct {
	part  string
	level slog.Level
}{
	{"Suspect ", slog.LevelInfo},
	{"Marking ", slog.LevelInfo},
	{"Updating address for ", slog.LevelInfo},
	{"Refuting a ", slog.LevelInfo},
	{"over TCP but UDP probes failed", slog.LevelWarn},
	{"without encryption", slog.LevelWarn},
	{"handler queue full", slog.LevelWarn},
	{"Too many pending push/pull", slog.LevelWarn},
	{"Remote node state size", slog.LevelWarn},
	{"Encryption of message failed", slog.LevelWarn},
	{"Error accepting TCP connection", slog.LevelWarn},
	{"Failed to shutdown transport", slog.LevelWarn},
}

// keyTrouble lists parts of the lines by which memberlist reports a stream, or a packet, that no
// key opens. TestPacketsUnderAnotherKey fails if memberlist changes them.
var keyTrouble = []string{
	"no installed keys could decrypt",
	"Decrypt packet failed",
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// Write logs one line, or counts it as a rejection.
func (w *logWriter) Write(b []byte) (int, error) {
	line := strings.TrimSpace(string(b))
	if _, rest, ok := strings.Cut(line, "] "); ok && strings.HasPrefix(line, "[") {
		line = rest
	}
	line = strings.TrimPrefix(line, "memberlist: ")
	if containsAny(line, keyTrouble) {
		_, from, _ := strings.Cut(line, "from=")
		w.rejected(from, ErrKey)
		return len(b), nil
	}
	level := slog.LevelDebug
	for _, n := range news {
		if strings.Contains(line, n.part) {
			level = n.level
			break
		}
	}
	if !w.log.Enabled(context.Background(), level) {
		return len(b), nil
	}
	// lines that differ in numbers and addresses alone are repeats
	key := strings.Join(strings.FieldsFunc(line, isDigit), "#")
	if ok, repeats := w.repeats.Allow(key); ok {
		w.log.Log(context.Background(), level, "memberlist: "+line, "repeats", repeats)
	}
	return len(b), nil
}

package mesh

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// repeatAfter is the time for which a line that was logged is not logged again.
const repeatAfter = 10 * time.Second

// maxRepeats bounds the keys that a limiter remembers.
const maxRepeats = 512

// A limiter keeps what was logged lately from being logged again.
type limiter struct {
	now  func() time.Time
	mu   sync.Mutex // guards told
	told map[string]*telling
}

type telling struct {
	at      time.Time
	repeats int // since
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, told: make(map[string]*telling)}
}

// allow reports whether key may be logged, and how often it came since it last was.
func (l *limiter) allow(key string) (ok bool, repeats int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	t := l.told[key]
	if t != nil && now.Sub(t.at) < repeatAfter {
		t.repeats++
		return false, 0
	}
	if t == nil {
		if len(l.told) >= maxRepeats {
			clear(l.told)
		}
		t = new(telling)
		l.told[key] = t
	}
	repeats = t.repeats
	t.at, t.repeats = now, 0
	return true, repeats
}

// A logWriter gets memberlist's lines. Most of what memberlist calls an error is a network being a
// network, and goes to the debug level; a few lines are news for who runs the node.
type logWriter struct {
	log      *slog.Logger
	repeats  *limiter
	rejected func(from string, err error)
}

// news lists, by a part of their text, the lines that deserve better than the debug level.
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

// keyTrouble lists what memberlist says when it can't read what came, for the keys.
var keyTrouble = []string{
	"no installed keys could decrypt",
	"encryption is configured but remote state is not encrypted",
	"remote state is encrypted and encryption is not configured",
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

// Write takes one line.
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
	// numbers and addresses vary where the news is the same
	key := strings.Join(strings.FieldsFunc(line, isDigit), "#")
	if ok, repeats := w.repeats.allow(key); ok {
		w.log.Log(context.Background(), level, "memberlist: "+line, "repeats", repeats)
	}
	return len(b), nil
}

package cachevalkey

import (
	"crypto/sha1" //nolint:gosec // it names a script and secures nothing
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valkey-io/valkey-go"
)

// A script runs on the server, which runs nothing else meanwhile. Its keys are in one slot.
type script struct {
	text string
	sha  string
}

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
	return &script{text, hex.EncodeToString(sum[:])}
}

// brief returns the command that runs the script if the server has it, and fails with NOSCRIPT if
// it has not. full returns the one that brings the script along.
func (s *script) brief(b valkey.Builder, keys []string, args ...string) valkey.Completed {
	return command(b, "EVALSHA", s.sha, keys, args)
}

func (s *script) full(b valkey.Builder, keys []string, args ...string) valkey.Completed {
	return command(b, "EVAL", s.text, keys, args)
}

func command(b valkey.Builder, name, what string, keys, args []string) valkey.Completed {
	return b.Arbitrary(name, what, strconv.Itoa(len(keys))).Keys(keys...).Args(args...).Build()
}

// write stores a record if the value of its key still bears the fence.
//
//	KEYS: the record's. ARGV: fence or "", value, milliseconds to keep it or "0". It returns 1 if the
//	record was stored.
var write = newScript(`#!lua
if ARGV[1] ~= '' then
  local now = redis.pcall('GETRANGE', KEYS[1], 0, 16)
  if ARGV[1] == '?' then
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
    if type(now) == 'string' and #now == 17 then
      local kind = now:sub(1, 1)
      if kind == 'L' or kind == 'R' then return 0 end
    end
  elseif now ~= ARGV[1] then
    return 0
  end
end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1`)

// A log is a sorted set whose scores are versions. Its members are '=', with which a log begins,
// '!', whose score is the version of the newest entry that was dropped, and the entries.
//
// A version is the time of the server in µs, or more if the log or the caller knows a higher one.
// It is an integer below 2^53, so that the score holds it exactly. The scripts may write when the
// server is out of memory: a log is bounded, and deletes must go on.

// logBegin defines top, which returns the highest version of a log. It makes the log if it is not
// there, and makes it anew if it is no log.
const logBegin = `#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(version) return string.format('%.0f', version) end
local function top(log, known)
  local kind = redis.call('TYPE', log).ok
  if kind == 'zset' then
    local version = tonumber(redis.call('ZRANGE', log, -1, -1, 'WITHSCORES')[2])
    if version > 0 and version < 4503599627370496 then return version end
  end
  if kind ~= 'none' then redis.call('DEL', log) end
  local version = math.max(now, known + 1)
  redis.call('ZADD', log, text(version), '=')
  return version
end
`

// readLog returns the members of a log with a version of ARGV[1] or more, each followed by its
// version, and then the time: seconds and microseconds.
//
//	KEYS: the log. ARGV: the version to begin with, the highest version known.
var readLog = newScript(logBegin + `
top(KEYS[1], tonumber(ARGV[2]))
local reply = redis.call('ZRANGE', KEYS[1], ARGV[1], '+inf', 'BYSCORE', 'WITHSCORES')
reply[#reply + 1] = time[1]
reply[#reply + 1] = time[2]
return reply`)

// appendLog appends to both logs, with one new version, which it returns.
//
//	KEYS: the log of tags, the log of notices. ARGV: the bound of a log, the highest version known,
//	the number of members for the log of tags, those, and the members for the log of notices.
var appendLog = newScript(logBegin + `
local size, known, tags = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local version = math.max(now, known + 1,
  top(KEYS[1], known) + 1, top(KEYS[2], known) + 1)
for i = 4, #ARGV do
  redis.call('ZADD', KEYS[i <= 3 + tags and 1 or 2], text(version), ARGV[i])
end
for _, log in ipairs(KEYS) do
  local extra = redis.call('ZCARD', log) - size
  if extra > 0 then
    local gone = redis.call('ZPOPMIN', log, extra + 1)
    redis.call('ZADD', log, gone[#gone], '!')
  end
end
return text(version)`)

// The first bytes of the members of a log.
const (
	beginMember  = "="
	droppedEntry = "!"
	tagEntry     = 't'
	keyEntry     = 'k'
)

// maxVersion bounds what counts as a version.
const maxVersion = 1 << 52

// A logReading is a parsed reply of readLog.
type logReading struct {
	entries   []logEntry
	began     uint64 // the version with which the log began, if it was among those asked for
	forgotten uint64 // the version of the newest entry that was dropped, likewise
	top       uint64 // the highest version of all these
	now       time.Time
}

// A logEntry is a member of a log which says what was deleted.
type logEntry struct {
	kind    byte
	text    string // all but the kind
	version uint64
}

var errLogReply = errors.New("cachevalkey: the server's reply is no log")

// parseLog parses a reply of readLog. It ignores members that have no meaning.
func parseLog(reply []string) (logReading, error) {
	var r logReading
	n := len(reply) - 2
	if n < 0 || n%2 != 0 {
		return r, fmt.Errorf("%w: it has %d elements", errLogReply, len(reply))
	}
	seconds, err1 := strconv.ParseInt(reply[n], 10, 64)
	micros, err2 := strconv.ParseInt(reply[n+1], 10, 64)
	const most = maxVersion / 1_000_000
	if err1 != nil || err2 != nil || seconds < 0 || seconds > most || micros < 0 || micros >= 1e6 {
		return r, fmt.Errorf("%w: time %q %q", errLogReply, reply[n], reply[n+1])
	}
	r.now = time.UnixMicro(seconds*1_000_000 + micros)
	for i := 0; i < n; i += 2 {
		version, ok := parseVersion(reply[i+1])
		if !ok {
			return r, fmt.Errorf("%w: version %q", errLogReply, reply[i+1])
		}
		r.top = max(r.top, version)
		switch member := reply[i]; {
		case member == beginMember:
			r.began = version
		case member == droppedEntry:
			r.forgotten = version
		case member != "" && (member[0] == tagEntry || member[0] == keyEntry):
			r.entries = append(r.entries, logEntry{member[0], member[1:], version})
		}
	}
	return r, nil
}

// parseVersion parses the score of a member. The server writes scores in decimal or scientific
// notation.
func parseVersion(s string) (version uint64, ok bool) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && n <= maxVersion { // mostly: it is faster
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= maxVersion) { // it may be NaN
		return 0, false
	}
	return uint64(f), true
}

func decimal(version uint64) string { return strconv.FormatUint(version, 10) }

// Errors of the server have a code as their first word.
func hasCode(err error, code string) bool {
	e, ok := valkey.IsValkeyErr(err)
	return ok && strings.HasPrefix(e.Error(), code)
}

func isNoScript(err error) bool { return hasCode(err, "NOSCRIPT") }

// isTooOld reports whether a server older than 7.0 has refused a command of this package.
func isTooOld(err error) bool {
	return hasCode(err, "syntax error") || hasCode(err, "Error compiling script")
}

package cachevalkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/cache"
)

var (
	// ErrClosed is returned by methods of a Storage after Close.
	ErrClosed = errors.New("cachevalkey: closed")

	// ErrServerTooOld is returned if the server is older than Redis 7.0, and so lacks SET with both
	// NX and GET. All releases of Valkey have it.
	ErrServerTooOld = errors.New("cachevalkey: the server is too old: want Valkey, or Redis 7.0")
)

// A Storage is a cache.Storage on a Valkey or Redis server, or on a cluster. Its methods are safe
// for concurrent use. They return when ctx ends, also if the server hangs. Errors of the server can
// be reached with errors.As as *valkey.ValkeyError.
type Storage struct {
	o      Options
	names  names
	origin string // tells what this Storage has appended to the log from what others have
	conn   *connection
	seen   atomic.Uint64 // the highest version of a log that is known

	pollEvery time.Duration // pollTracked; a test may change it before it calls Watch

	life context.Context // ends with Close
	end  context.CancelFunc

	mu       sync.Mutex // guards watchers from growing once life has ended
	watchers sync.WaitGroup
}

var _ cache.Notifier = (*Storage)(nil)

// New returns a Storage. It only checks the options, and returns an *OptionError if one is bad. The
// first call connects, so the server may be down; see Check. The caller must call Close.
func New(o Options) (*Storage, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Storage{o: o, names: makeNames(o.Prefix), origin: newHeader('-')[1:],
		pollEvery: pollTracked}
	s.life, s.end = context.WithCancel(context.Background())
	s.conn = newConnection(s.life, o.Client)
	return s, nil
}

// Close ends calls that are under way, stops all watchers, and closes the connections. It waits
// until no goroutine is left, which takes up to Options.Client.Dialer.Timeout if the server hangs.
// Only the client of a cluster has timers that may run for five seconds more. Close must not be
// called from a function that Watch calls.
func (s *Storage) Close() error {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.watchers.Wait()
	s.conn.close()
	return nil
}

// Check connects to the server and tries out what a Read does. A program may call it when it
// starts, to report a mistake in the options or a server that is too old. A Storage works without.
func (s *Storage) Check(ctx context.Context) error {
	_, err := s.read(ctx, []string{s.names.check}, 0)
	return err
}

// Read implements cache.Storage. In a cluster, it asks all servers that have keys at the same time.
// It leaves out the keys of those that fail, unless all do.
//
// It grants no fence for a key without a record if the server is out of memory.
func (s *Storage) Read(ctx context.Context, keys []string, since uint64) (cache.Reading, error) {
	named := make([]string, len(keys))
	for i, key := range keys {
		named[i] = s.names.record + key
	}
	return s.read(ctx, named, since)
}

func (s *Storage) read(ctx context.Context, keys []string, since uint64) (cache.Reading, error) {
	s.raise(since)
	r, err := call(ctx, s.conn, func(ctx context.Context, c valkey.Client) (reading, error) {
		return s.readOn(ctx, c, keys, since), nil
	})
	if err != nil {
		return cache.Reading{}, err
	}
	log, err := parseLogResult(r.log)
	if err != nil {
		return cache.Reading{}, err
	}
	s.raise(log.top)
	stored, err := r.stored()
	if err != nil {
		return cache.Reading{}, err
	}
	return cache.Reading{
		Stored: stored, Log: tagsOf(log), Forgotten: log.forgotten, Now: log.now,
	}, nil
}

// A reading holds the replies to the commands of a Read.
type reading struct {
	log    valkey.ValkeyResult
	values []valkey.ValkeyResult
	lease  string // was placed where a value is nil
	full   []bool // nil, or where no lease was placed since the server is out of memory
}

// readOn sends one pipeline. Further commands follow only if the server has restarted, or is out of
// memory.
func (s *Storage) readOn(
	ctx context.Context, c valkey.Client, keys []string, since uint64,
) reading {
	r := reading{lease: newHeader(leaseKind)}
	log := []string{s.names.tags}
	from, known := decimal(since), decimal(s.seen.Load())
	leaseFor := strconv.FormatInt(millis(s.o.LeaseFor), 10)
	commands := make(valkey.Commands, 0, len(keys)+1)
	commands = append(commands, readLog.brief(c.B(), log, from, known))
	for _, key := range keys {
		commands = append(commands, c.B().Arbitrary("SET").Keys(key).
			Args(r.lease, "NX", "GET", "PX", leaseFor).Build())
	}
	replies := c.DoMulti(ctx, commands...)
	r.log, r.values = replies[0], replies[1:]
	if isNoScript(r.log.Error()) {
		r.log = c.Do(ctx, readLog.full(c.B(), log, from, known))
	}
	s.readFull(ctx, c, keys, &r)
	return r
}

// readFull reads again, without leases, what a server that is out of memory has refused.
func (s *Storage) readFull(ctx context.Context, c valkey.Client, keys []string, r *reading) {
	var commands valkey.Commands
	var of []int
	for i, v := range r.values {
		if hasCode(v.Error(), "OOM") {
			commands = append(commands, c.B().Arbitrary("GET").Keys(keys[i]).Build())
			of = append(of, i)
		}
	}
	if len(of) == 0 {
		return
	}
	r.full = make([]bool, len(keys))
	for j, v := range c.DoMulti(ctx, commands...) {
		r.values[of[j]], r.full[of[j]] = v, true
	}
}

// stored returns what the values hold. It returns an error if none could be read.
func (r *reading) stored() ([]cache.Stored, error) {
	stored := make([]cache.Stored, len(r.values))
	failed := 0
	var first error
	for i, v := range r.values {
		value, err := v.AsBytes()
		switch {
		case err == nil:
			stored[i] = parseValue(value)
		case valkey.IsValkeyNil(err) && (i >= len(r.full) || !r.full[i]):
			stored[i].Fence = r.lease
		case valkey.IsValkeyNil(err):
			stored[i].Fence = noFence
		case hasCode(err, "WRONGTYPE"):
			stored[i].Fence = foreignFence
		case isTooOld(err):
			return nil, fmt.Errorf("%w: %w", ErrServerTooOld, err)
		default:
			stored[i].Fence = noFence
			failed++
			first = cmp.Or(first, err)
		}
	}
	if failed > 0 && failed == len(stored) {
		return nil, fmt.Errorf("cachevalkey: reading: %w", first)
	}
	return stored, nil
}

func parseLogResult(result valkey.ValkeyResult) (logReading, error) {
	reply, err := result.AsStrSlice()
	switch {
	case isTooOld(err):
		return logReading{}, fmt.Errorf("%w: %w", ErrServerTooOld, err)
	case err != nil:
		return logReading{}, fmt.Errorf("cachevalkey: reading the log: %w", err)
	}
	return parseLog(reply)
}

// tagsOf returns the entries of a log of tags. The beginning of a log is reported as an
// invalidation of everything: either nothing was stored before, or the server has lost the log.
func tagsOf(log logReading) []cache.Invalidation {
	tags := make([]cache.Invalidation, 1, len(log.entries)+1)
	all := &tags[0]
	all.Version = log.began
	for _, e := range log.entries {
		switch {
		case e.kind != tagEntry:
		case e.text == "":
			all.Version = max(all.Version, e.version)
		default:
			tags = append(tags, cache.Invalidation{Tag: e.text, Version: e.version})
		}
	}
	if all.Version == 0 {
		return tags[1:]
	}
	return tags
}

// Write implements cache.Storage. It sends one command for each record, all at once.
func (s *Storage) Write(ctx context.Context, records []cache.Record) error {
	if len(records) == 0 {
		return nil
	}
	_, err := call(ctx, s.conn, func(ctx context.Context, c valkey.Client) (struct{}, error) {
		return struct{}{}, s.writeOn(ctx, c, records)
	})
	return err
}

func (s *Storage) writeOn(ctx context.Context, c valkey.Client, records []cache.Record) error {
	type run = func(b valkey.Builder, keys []string, args ...string) valkey.Completed
	header := newHeader(recordKind)
	send := func(by run, records []cache.Record) []valkey.ValkeyResult {
		commands := make(valkey.Commands, len(records))
		for i := range records {
			r := &records[i]
			keep := int64(0)
			if r.Keep != 0 {
				keep = millis(r.Keep)
			}
			commands[i] = by(c.B(), []string{s.names.record + r.Key},
				r.Fence, header+string(r.Data), strconv.FormatInt(keep, 10))
		}
		return c.DoMulti(ctx, commands...)
	}

	possible := make([]cache.Record, 0, len(records))
	for i := range records {
		if f := records[i].Fence; f == "" || f == foreignFence || isHeader(f) {
			possible = append(possible, records[i])
		}
	}
	if len(possible) == 0 {
		return nil
	}
	failed := 0
	var first error
	var again []cache.Record
	fail := func(err error) {
		failed++
		first = cmp.Or(first, err)
	}
	for i, result := range send(write.brief, possible) {
		switch err := result.Error(); {
		case isNoScript(err):
			again = append(again, possible[i])
		case err != nil:
			fail(err)
		}
	}
	if len(again) > 0 {
		for _, result := range send(write.full, again) {
			if err := result.Error(); err != nil {
				fail(err)
			}
		}
	}
	switch {
	case first == nil:
		return nil
	case isTooOld(first):
		return fmt.Errorf("%w: %w", ErrServerTooOld, first)
	default:
		return fmt.Errorf("cachevalkey: writing %d of %d records: %w", failed, len(records), first)
	}
}

// Delete implements cache.Storage. It returns nil when the records are gone and the log of notices
// says so.
func (s *Storage) Delete(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	entries := make([]string, len(keys))
	for i, key := range keys {
		entries[i] = s.notice(keyEntry, key)
	}
	return s.append(ctx, keys, nil, entries)
}

// Invalidate implements cache.Storage.
func (s *Storage) Invalidate(ctx context.Context, tags []string) error {
	if len(tags) == 0 {
		return nil
	}
	members := make([]string, len(tags))
	entries := make([]string, len(tags))
	for i, tag := range tags {
		members[i] = string(rune(tagEntry)) + tag
		entries[i] = s.notice(tagEntry, tag)
	}
	return s.append(ctx, nil, members, entries)
}

// notice returns an entry of the log of notices.
func (s *Storage) notice(kind byte, name string) string {
	return string(rune(kind)) + s.origin + name
}

// append removes the records of keys, and then appends to the logs.
func (s *Storage) append(ctx context.Context, keys, tags, notices []string) error {
	args := make([]string, 0, 3+len(tags)+len(notices))
	args = append(args, strconv.Itoa(s.o.LogSize), decimal(s.seen.Load()), strconv.Itoa(len(tags)))
	args = append(append(args, tags...), notices...)
	logs := []string{s.names.tags, s.names.notices}
	version, err := call(ctx, s.conn, func(ctx context.Context, c valkey.Client) (string, error) {
		results, err := s.unlink(ctx, c, keys, appendLog.brief(c.B(), logs, args...))
		if err != nil {
			return "", err
		}
		if isNoScript(results.Error()) {
			results = c.Do(ctx, appendLog.full(c.B(), logs, args...))
		}
		version, err := results.ToString()
		switch {
		case isTooOld(err):
			return "", fmt.Errorf("%w: %w", ErrServerTooOld, err)
		case err != nil:
			return "", fmt.Errorf("cachevalkey: appending to the log: %w", err)
		}
		return version, nil
	})
	if err != nil {
		return err
	}
	if v, ok := parseVersion(version); ok {
		s.raise(v)
	}
	return nil
}

// unlink removes the records of keys and then runs a command, whose result it returns. The command
// must not run before the records are gone: who is notified would read them again. On one server
// the order of a pipeline ensures that.
func (s *Storage) unlink(
	ctx context.Context, c valkey.Client, keys []string, then valkey.Completed,
) (valkey.ValkeyResult, error) {
	if len(keys) == 0 {
		return c.Do(ctx, then), nil
	}
	commands := make(valkey.Commands, 0, len(keys)+1)
	for _, key := range keys {
		commands = append(commands, c.B().Arbitrary("UNLINK").Keys(s.names.record+key).Build())
	}
	ordered := c.Mode() != valkey.ClientModeCluster
	if ordered {
		commands = append(commands, then)
	}
	results := c.DoMulti(ctx, commands...)
	for _, r := range results[:len(keys)] {
		if err := r.Error(); err != nil {
			return r, fmt.Errorf("cachevalkey: deleting: %w", err)
		}
	}
	if ordered {
		return results[len(keys)], nil
	}
	return c.Do(ctx, then), nil
}

// raise notes that a version is known.
func (s *Storage) raise(version uint64) {
	for {
		seen := s.seen.Load()
		if version <= seen || version > maxVersion || s.seen.CompareAndSwap(seen, version) {
			return
		}
	}
}

package cache

import (
	"slices"
	"sync"
	"time"
)

// maxLogTags bounds the tags of a tagLog.
const maxLogTags = 16 << 10

// A tagLog holds what a cache knows of the log of its Storage, and the clock of the Storage. It is
// unknown until the first Read, and again once a Read shows that the Storage has lost the end of
// its log, as one that was replaced by a copy which lags behind. Then no record is believed and
// none is written, since nobody knows which tags were invalidated.
type tagLog struct {
	mu    sync.Mutex // guards the following
	epoch int        // number of losses
	tagVersions
}

// tagVersions is what a tagLog forgets when the log is lost.
type tagVersions struct {
	known  bool
	high   uint64 // the highest version known, that of newest
	newest string
	all    uint64            // the version of the last invalidation of "", which is not in byTag
	floor  uint64            // a record with tags and a version below that is not believed
	byTag  map[string]uint64 // the last invalidation of each tag
	clock  storageClock
}

// A storageClock extrapolates the clock of a Storage from a Reading.
type storageClock struct {
	now time.Time // by the Storage
	at  time.Time // when the Reading came, with a monotonic time
}

// micros returns the time in µs by the clock of the Storage.
func (k storageClock) micros() int64 { return k.now.Add(time.Since(k.at)).UnixMicro() }

// A logPosition holds what a Read asks of the log.
type logPosition struct {
	epoch  int
	since  uint64
	newest string // the tag whose last invalidation was since
}

func (l *tagLog) position() logPosition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return logPosition{l.epoch, l.high, l.newest}
}

// merge adds what a Read, which asked from a position, has returned at a time. It returns the
// version of the log at the time of the Read. known is false if the log was lost before the Read
// or since; lost is true for the first Read that shows this.
func (l *tagLog) merge(p logPosition, r *Reading, at time.Time) (version uint64, known, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.epoch != l.epoch {
		return 0, false, false
	}
	if !r.continues(p) {
		l.epoch++
		l.tagVersions = tagVersions{}
		return 0, false, true
	}
	l.known, version = true, p.since
	for _, i := range r.Log {
		version = max(version, i.Version)
		if i.Version > l.high {
			l.high, l.newest = i.Version, i.Tag
		}
		if i.Tag == "" {
			l.all = max(l.all, i.Version)
			continue
		}
		if l.byTag == nil {
			l.byTag = make(map[string]uint64)
		}
		l.byTag[i.Tag] = max(l.byTag[i.Tag], i.Version)
	}
	if r.Forgotten > p.since { // this cache has never seen some of what was forgotten
		l.floor = max(l.floor, r.Forgotten)
		if !r.invalidates("") {
			l.all = max(l.all, r.Forgotten)
		}
	}
	l.shrink()
	if at.After(l.clock.at) {
		l.clock = storageClock{r.Now, at}
	}
	return version, true, false
}

// continues reports whether r has the log on from p: what was the newest invalidation then is still
// there, or was forgotten, or everything was invalidated since, as by the beginning of a new log.
func (r *Reading) continues(p logPosition) bool {
	if r.Forgotten > 0 && r.Forgotten >= p.since {
		return true
	}
	return slices.ContainsFunc(r.Log, func(i Invalidation) bool {
		return (i.Tag == p.newest || i.Tag == "") && i.Version >= max(1, p.since)
	})
}

// invalidates reports whether tag is in the log that r has returned.
func (r *Reading) invalidates(tag string) bool {
	return slices.ContainsFunc(r.Log, func(i Invalidation) bool { return i.Tag == tag })
}

// shrink drops the older half of the tags if there are too many. mu is held.
func (l *tagLog) shrink() {
	if len(l.byTag) <= maxLogTags {
		return
	}
	versions := make([]uint64, 0, len(l.byTag))
	for _, v := range l.byTag {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	oldest := versions[len(versions)/2]
	for tag, v := range l.byTag {
		if v <= oldest {
			delete(l.byTag, tag)
		}
	}
	l.floor = max(l.floor, oldest)
}

// believes reports whether no tag of a record, nor "", was invalidated at a version above that of
// the record.
func (l *tagLog) believes(version uint64, tags []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known || version < l.all || len(tags) > 0 && version < l.floor {
		return false
	}
	for _, tag := range tags {
		if l.byTag[tag] > version {
			return false
		}
	}
	return true
}

// present returns the highest version that is known and the clock. ok is false if the log is not
// known.
func (l *tagLog) present() (version uint64, clock storageClock, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.high, l.clock, l.known
}

package stalltest

import (
	"context"
	"time"
)

// hanging returns the cases of a load that never returns.
func hanging() []Case {
	return group("The load hangs", nothingMore,
		Case{
			Name: "hang", Title: "no deadlines", What: "callers have no deadline",
			Want: "every caller gets an error at a time-out of the load, and the key works again",
			run:  hangsWithoutDeadlines,
		},
		Case{
			Name: "hang-deadline", Title: "deadlines", What: "the callers' deadlines pass",
			Want: "every caller returns at its deadline, and the key works again",
			run: func(t *trial) bool {
				hang := func(context.Context, int) (string, error) { return t.hang() }
				callers, struck, ok := burst{load: hang, doomed: true}.run(t)
				if !ok {
					return false
				}
				t.count(struck, callers, Deadline, Value)
				t.next(key)
				return true
			},
		},
		Case{
			Name: "slow", Title: "slow",
			What: "the load is slower than the callers' deadlines, and heeds its context. " +
				"runs on: its context does not end",
			Want: "every caller returns at its deadline, the load's context ends when no caller waits, " +
				"and the key works again",
			run: slow,
		},
		Case{
			Name: "hang-hot", Title: "more callers come",
			What: "callers with deadlines keep coming, in five waves; one without a deadline, who is not " +
				"counted, waits all along. n of m callers get a value",
			Want: "every caller past the first wave gets a value, by another load",
			run:  hotKeyHangs,
		},
		Case{
			Name: "hang-others", Title: "other keys", What: "64 other keys are fetched meanwhile",
			Want: "all of them get their values",
			run: func(t *trial) bool {
				if !t.hangs() {
					return false
				}
				began := time.Now()
				callers := t.fetchOthers("other")
				settle(patience, callers...)
				t.countServed(began, callers, 0)
				return true
			},
		},
	)
}

// hangs starts a caller, which is not counted, whose load hangs.
func (t *trial) hangs() bool {
	started := t.first(key, func(context.Context, int) (string, error) { return t.hang() })
	t.fetch(key)
	if !begins(started) {
		return false
	}
	quiet()
	return true
}

func hangsWithoutDeadlines(t *trial) bool {
	if !t.hangs() {
		return false
	}
	struck := time.Now()
	callers := t.fetches(t.cfg.callers, key)
	waitOut(t.cfg.timeout, callers)
	t.count(struck, callers, Error, Value)
	t.next(key)
	return true
}

func hotKeyHangs(t *trial) bool {
	if !t.hangs() {
		return false
	}
	const waves = 5
	began := time.Now()
	var all []*caller
	stuck := false
	for i := range waves {
		from, to := i*t.cfg.callers/waves, (i+1)*t.cfg.callers/waves
		wave := t.fetches(to-from, key)
		all = append(all, wave...)
		if stuck { // the next ones only add to the pile
			continue
		}
		quiet()
		settle(0, wave...)
		for _, c := range wave {
			stuck = stuck || !c.has()
		}
	}
	settle(0, all...)
	t.countServed(began, all, t.cfg.callers/waves)
	t.next(key)
	return true
}

func slow(t *trial) bool {
	ended := make(chan struct{})
	load := func(ctx context.Context, _ int) (string, error) {
		select {
		case <-ctx.Done():
			close(ended)
			return "", ctx.Err()
		case <-t.release:
			return "", errInjected
		}
	}
	callers, struck, ok := burst{load: load, doomed: true}.run(t)
	if !ok {
		return false
	}
	t.count(struck, callers, Deadline, Value)
	if !closes(grace, ended) {
		if t.result.Verdict != Fail {
			t.word = "runs on"
		}
		t.fail("the load runs on although no caller waits")
	}
	t.next(key)
	return true
}

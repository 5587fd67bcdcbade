package courier

import (
	"fmt"
	"log/slog"
	"time"
)

// DefaultTimeout is the time-out of a flight where WithTimeout is not given.
const DefaultTimeout = 30 * time.Second

// Defaults of the bounds that a Courier always has.
const (
	// DefaultMaxAbandonedPerKey and DefaultMaxAbandoned are used where
	// WithMaxAbandoned is not given.
	DefaultMaxAbandonedPerKey = 8
	DefaultMaxAbandoned       = 1024

	// DefaultQueueWait is used with WithMaxConcurrent where WithQueueWait is
	// not given.
	DefaultQueueWait = 10 * time.Second
)

// An Option sets a property of a Courier.
type Option func(*config) error

type config struct {
	timeout          time.Duration // 0: the default; negative: none
	maxConcurrent    int
	queueWait        time.Duration
	maxWaiting       int
	maxWaitingPerKey int
	maxBatch         int
	abandonedKey     int // 0: the default
	abandonedTotal   int // 0: the default
	backoffMin       time.Duration
	backoffMax       time.Duration
	isFailure        func(error) bool // nil: all errors are failures
	name             string           // empty: made from the types
	keyText          func(key any) string
	tracer           Tracer
	logger           *slog.Logger // nil: none
	turnOnDemand     bool
	unlinked         bool
}

// An OptionError reports an option with a value out of its range.
type OptionError struct {
	Option string
	Value  any
	Want   string
}

// Error describes the OptionError in one line.
func (e *OptionError) Error() string {
	return fmt.Sprintf("courier: %s: %v: want %s", e.Option, e.Value, e.Want)
}

func configure(opts []Option) (config, error) {
	cfg := config{queueWait: DefaultQueueWait}
	for _, opt := range opts {
		if err := opt(&cfg); err != nil {
			return config{}, err
		}
	}
	return cfg, nil
}

// Validate returns the *OptionError with which New would panic, or nil.
func Validate(opts ...Option) error {
	_, err := configure(opts)
	return err
}

// flightTimeout returns the time-out of flights; 0 is none.
func (c *config) flightTimeout() time.Duration {
	switch {
	case c.timeout < 0 || c.unlinked:
		return 0
	case c.timeout == 0:
		return DefaultTimeout
	}
	return c.timeout
}

func (c *config) abandonedPerKey() int {
	if c.abandonedKey == 0 {
		return DefaultMaxAbandonedPerKey
	}
	return c.abandonedKey
}

func (c *config) abandonedInAll() int {
	if c.abandonedTotal == 0 {
		return DefaultMaxAbandoned
	}
	return c.abandonedTotal
}

// WithTimeout ends every flight after d with ErrTimeout, even if its function
// ignores its context. The time in which the flight waits for its turn
// (WithMaxConcurrent) counts. Without this option d is [DefaultTimeout]. 0 means
// no time-out, so that a function that hangs keeps its flight for as long as that has a
// waiter; d must not be negative.
func WithTimeout(d time.Duration) Option {
	return func(c *config) error {
		c.timeout = d
		if d == 0 {
			c.timeout = -1
		}
		return atLeast("WithTimeout", d, 0, "0 (none) or more")
	}
}

// WithMaxConcurrent lets at most n fetch functions run at a time; further
// flights wait for their turn, in order, for as long as WithQueueWait says. A
// function that waits in a nested Do does not count.
//
// Functions that run on although their flights are over, or are late and were
// replaced, count up to half of n, rounded down. So functions that hang do not make
// the courier ask an origin for more than it can bear, and can't take all the turns.
// Further ones come on top of n; WithMaxAbandoned bounds them.
//
// 0 means no limit; n must not be negative.
func WithMaxConcurrent(n int) Option {
	return func(c *config) error {
		c.maxConcurrent = n
		return atLeast("WithMaxConcurrent", n, 0, "0 (no limit) or more")
	}
}

// WithTurnOnDemand makes fetch functions start at once under [WithMaxConcurrent], and wait
// for their turn where they call [TakeTurn]. It is for functions that seldom do the work that
// is to be limited.
func WithTurnOnDemand() Option {
	return func(c *config) error {
		c.turnOnDemand = true
		return nil
	}
}

// WithQueueWait ends a flight with an *OverloadedError if its turn (see
// WithMaxConcurrent) does not come within d. That includes a flight that waits
// for its turn to go on after a nested Do. 0 means to wait as long as the
// flight lives; d must not be negative.
func WithQueueWait(d time.Duration) Option {
	return func(c *config) error {
		c.queueWait = d
		return atLeast("WithQueueWait", d, 0, "0 (no bound) or more")
	}
}

// WithMaxWaiting gives a caller an *OverloadedError at once when n callers wait
// already, over all keys. 0 means no limit; n must not be negative.
func WithMaxWaiting(n int) Option {
	return func(c *config) error {
		c.maxWaiting = n
		return atLeast("WithMaxWaiting", n, 0, "0 (no limit) or more")
	}
}

// WithMaxWaitingPerKey gives a caller an *OverloadedError at once when n callers
// wait already for the flight that it would join. So one slow key can't hold a
// whole pool of workers until its time-out. The callers that still wait for a
// late flight do not count towards the limit of the fresh one beside it. 0 means no
// limit; n must not be negative.
func WithMaxWaitingPerKey(n int) Option {
	return func(c *config) error {
		c.maxWaitingPerKey = n
		return atLeast("WithMaxWaitingPerKey", n, 0, "0 (no limit) or more")
	}
}

// WithMaxBatch makes DoMany call its function for at most n keys at once, and several times
// at the same time for more. Each call is one function for the other limits. 0 means no
// limit; n must not be negative.
func WithMaxBatch(n int) Option {
	return func(c *config) error {
		c.maxBatch = n
		return atLeast("WithMaxBatch", n, 0, "0 (no limit) or more")
	}
}

// WithMaxAbandoned bounds the functions that run on although their flights are
// over. While there are perKey of them for a key, or inAll for all keys, a call
// that would start another flight gets an *OverloadedError at once. Both must be
// at least 1.
//
// Functions that hang for ever would keep their key, or all keys, refused for
// ever, long after the cause is gone. So past a bound a flight may still start now
// and then, as a probe: a second after the bound was reached, then after two, four,
// and so on up to a minute. When its function returns, older stuck functions stop
// counting: those of its key or, past inAll, of all keys. Once half of inAll
// functions run on, all keys past perKey share one rest and take turns. If inAll is
// reached again within an hour, its rest begins at the length that it had.
func WithMaxAbandoned(perKey, inAll int) Option {
	return func(c *config) error {
		c.abandonedKey, c.abandonedTotal = perKey, inAll
		if err := atLeast("WithMaxAbandoned", perKey, 1, "1 or more per key"); err != nil {
			return err
		}
		return atLeast("WithMaxAbandoned", inAll, 1, "1 or more in all")
	}
}

// WithBackoff makes a key rest after its flight failed: for that time callers
// get a *BackoffError, which wraps the failure, and no flight is started. The
// rest is shortest after the first failure and doubles with each further one
// in a row up to longest; up to half of it is taken off at random. A success,
// or Forget, ends it. These are no failures: a flight that all its callers have left,
// ErrClosed, ErrOverloaded, an error for which [WithIsFailure] returns false, and any
// outcome of a flight that began with low priority (see ContextWithLowPriority). The
// courier remembers the 10,000 or so keys that failed last.
//
// shortest must be above 0, and longest no less than shortest.
func WithBackoff(shortest, longest time.Duration) Option {
	return func(c *config) error {
		c.backoffMin, c.backoffMax = shortest, longest
		if shortest <= 0 {
			return &OptionError{"WithBackoff", shortest, "a shortest rest above 0"}
		}
		return atLeast("WithBackoff", longest, shortest, "a longest rest no less than the shortest")
	}
}

// WithIsFailure chooses the errors that make a key back off: is gets each error that a
// fetch function or a linked child returns. An error that is no failure, such as "no such
// record", counts as a success: the callers get it as it is, and it ends the rest. Panics,
// Goexit and time-outs are always failures. nil, as without this option, means that all
// errors are failures.
//
// is is a part of the function whose error it gets: it runs in that function's
// goroutine, and if it panics or hangs, so does the function. It must be safe for
// concurrent use.
func WithIsFailure(is func(error) bool) Option {
	return func(c *config) error {
		c.isFailure = is
		return nil
	}
}

// WithName names the courier, in the pprof label "courier" of its functions' goroutines and in
// logs. Without it the name is made from the types of its keys and values.
func WithName(name string) Option {
	return func(c *config) error {
		c.name = name
		return nil
	}
}

// WithKeyText shows keys as text returns them: in the pprof label "key" of the functions'
// goroutines, in logs and on the page of package debug. Keys may be personal data, so without this
// option they show a number made from the key instead, which is another one in each process, and
// goroutines have no such label. A flight then costs a third more, since its labels are its own.
//
// text is called without locks, and must be safe for concurrent use. The goroutine of each flight
// calls it before the fetch function, so that one which blocks delays the flight. If it panics for
// a key, the number stands for that key.
func WithKeyText(text func(key any) string) Option {
	return func(c *config) error {
		c.keyText = text
		return nil
	}
}

// WithUnlinked switches off the link, so that benchmarks and tests can show the
// difference. A function or child that panics or calls Goexit then does not end its
// flight, there are no time-outs, and a flight ends only when its function
// returns (or on Shutdown). Callers wait until their own contexts end, and
// later callers join the dead flight. Do not use it in a program that is meant
// to work.
func WithUnlinked() Option {
	return func(c *config) error {
		c.unlinked = true
		return nil
	}
}

func atLeast[T int | time.Duration](option string, value, least T, want string) error {
	if value < least {
		return &OptionError{option, value, want}
	}
	return nil
}

package origin

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/snowfence/snowfence/internal/workload"
)

// A FaultKind is a kind of fault.
type FaultKind int

// The kinds of faults; the package's doc describes each.
const (
	FaultNone FaultKind = iota
	FaultPanic
	FaultGoexit
	FaultError
	FaultHang
	FaultChild
	FaultSlow
)

var kindNames = [...]string{"none", "panic", "goexit", "error", "hang", "child", "slow"}

// FaultKinds returns all kinds, FaultNone first.
func FaultKinds() []FaultKind {
	kinds := make([]FaultKind, len(kindNames))
	for i := range kinds {
		kinds[i] = FaultKind(i)
	}
	return kinds
}

// String returns the kind's name, such as panic.
func (k FaultKind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("FaultKind(%d)", int(k))
	}
	return kindNames[k]
}

// MarshalText returns the kind's name.
func (k FaultKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText parses a kind's name.
func (k *FaultKind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = FaultKind(i)
			return nil
		}
	}
	return fmt.Errorf("%q: must be one of %s", text, strings.Join(kindNames[:], ", "))
}

// DefaultSlow is the default delay of FaultSlow.
const DefaultSlow = time.Second

// A Fault selects the loads that go wrong, and how.
type Fault struct {
	Kind FaultKind

	// Match reports whether the fault can strike loads of key. Nil means all keys. It must be safe
	// for concurrent use.
	Match func(key uint64) bool

	// Rate is the fraction of those keys' loads that it strikes, from 0 to 1.
	Rate float64

	// It can strike loads that begin from Start on and before End, counted from Origin.Start. An
	// End of 0 means no end.
	Start, End time.Duration

	// Slow is the additional time that a load takes with FaultSlow. 0 means DefaultSlow.
	Slow time.Duration
}

// Validate returns an error that names the first field that is invalid.
func (f Fault) Validate() error {
	switch {
	case f.Kind < FaultNone || f.Kind > FaultSlow:
		return fmt.Errorf("origin: Fault.Kind: unknown kind %d", int(f.Kind))
	case !(f.Rate >= 0 && f.Rate <= 1): // also refuses NaN
		return fmt.Errorf("origin: Fault.Rate: must be from 0 to 1, got %v", f.Rate)
	case f.Start < 0:
		return fmt.Errorf("origin: Fault.Start: must not be negative, got %v", f.Start)
	case f.End != 0 && f.End <= f.Start:
		return fmt.Errorf("origin: Fault.End: must be after Start (%v), got %v", f.Start, f.End)
	case f.Slow < 0:
		return fmt.Errorf("origin: Fault.Slow: must not be negative, got %v", f.Slow)
	}
	return nil
}

func (f Fault) delay() time.Duration {
	if f.Slow == 0 {
		return DefaultSlow
	}
	return f.Slow
}

// OneOf returns a function for [Fault].Match that matches the given keys. An empty list is an
// error, because such a fault would never strike.
func OneOf(keys []uint64) (func(key uint64) bool, error) {
	if len(keys) == 0 {
		return nil, errors.New("origin: no keys to match")
	}
	set := make(map[uint64]struct{}, len(keys))
	for _, k := range keys {
		set[k] = struct{}{}
	}
	return func(key uint64) bool { _, ok := set[key]; return ok }, nil
}

// decide returns the fault of a load of key that begins now.
func (o *Origin) decide(key uint64) FaultKind {
	f := &o.cfg.Fault
	if f.Kind == FaultNone || f.Rate == 0 || f.Match != nil && !f.Match(key) {
		return FaultNone
	}
	start := o.start.Load()
	if start == nil {
		return FaultNone
	}
	since := time.Since(*start)
	if since < f.Start || f.End != 0 && since >= f.End {
		return FaultNone
	}
	o.mu.Lock()
	attempt := o.attempts[key]
	o.attempts[key]++
	o.mu.Unlock()
	// 53 bits, so that the quotient is exact and below 1: a fault with the rate 1 always strikes.
	x := float64(workload.Hash(o.cfg.Seed, drawFault, key, attempt)>>11) / math.Exp2(53)
	if x >= f.Rate {
		return FaultNone
	}
	return f.Kind
}

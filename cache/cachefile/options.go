package cachefile

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/codec"
)

// Options configures Save, Load and Keep. The zero value is valid. Save and Load must have the
// same codecs and the same Version.
type Options[K comparable, V any] struct {
	// Key and Value are the codecs of keys and values. The default keeps a string and a []byte as
	// they are, and makes JSON of all else. A key that its codec does not give back as it was is
	// not saved. With JSON, a value must have all that it needs in exported fields.
	Key   cache.Codec[K]
	Value cache.Codec[V]

	// Version names the meaning of the values, such as "2" or the name of a schema. Load refuses a
	// file of another Version with a *MismatchError. Change it when the new program would
	// misunderstand the old one's values: when a field of their type has a new meaning, say.
	Version string

	// MaxEntries bounds the entries that are written or read: the hottest ones. 0 means no bound:
	// the cache has one.
	MaxEntries int

	// MaxBytes bounds the bytes that are written or read. 0 means DefaultMaxBytes. What has no
	// room is left out, from the coldest on.
	MaxBytes int64

	// OnSave is called by Keep after each Save, with what that has returned, in the goroutine of
	// Keep.
	OnSave func(Saved, error)

	now   func() time.Time          // replaced by tests
	trace func(step string)         // called by tests' Save between steps
	wrap  func(io.Writer) io.Writer // for tests
}

// DefaultMaxBytes is used if Options.MaxBytes is 0: 1 GiB.
const DefaultMaxBytes = 1 << 30

// An OptionError is returned for an invalid option, or argument.
type OptionError struct {
	Field string // of Options, or an argument
	Value any    // its value
	Want  string // the values that it may have
}

// Error returns a description in one line, with the field, its value and the allowed values.
func (e *OptionError) Error() string {
	return fmt.Sprintf("cachefile: %s: %v: want %s", e.Field, e.Value, e.Want)
}

func (o *Options[K, V]) validate() error {
	if unfit := codec.Unfit(codec.Or[V](o.Value)); unfit != "" {
		return &OptionError{"Options.Value", "json", "another codec: " + unfit}
	}
	switch {
	case o.MaxEntries < 0:
		return &OptionError{"Options.MaxEntries", o.MaxEntries, "0 (no bound) or more"}
	case o.MaxBytes < 0:
		return &OptionError{"Options.MaxBytes", o.MaxBytes, "0 (the default) or more"}
	case len(o.Version) > maxText:
		return &OptionError{
			"Options.Version", fmt.Sprintf("of %d bytes", len(o.Version)),
			fmt.Sprintf("at most %d bytes", maxText),
		}
	}
	return nil
}

// withDefaults returns o with defaults in place of zeros. o must be valid.
func (o Options[K, V]) withDefaults() Options[K, V] {
	o.Key, o.Value = codec.Or[K](o.Key), codec.Or[V](o.Value)
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	if o.now == nil {
		o.now = time.Now
	}
	if o.trace == nil {
		o.trace = func(string) {}
	}
	if o.wrap == nil {
		o.wrap = func(w io.Writer) io.Writer { return w }
	}
	return o
}

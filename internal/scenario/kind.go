package scenario

import (
	"fmt"
	"strconv"
)

// A Kind is what a scenario is run against.
type Kind int

// KindCache is the only kind.
const KindCache Kind = 0

// String returns the kind as it stands in files.
func (Kind) String() string { return "cache" }

// MarshalText is String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText understands what String returns.
func (*Kind) UnmarshalText(text []byte) error {
	if string(text) == "cache" {
		return nil
	}
	return fmt.Errorf("must be cache, got %s", strconv.Quote(brief(string(text))))
}

// uses tells whether a section or a field means something to this scenario, and if not, to what it
// means nothing.
func (s *Scenario) uses(path string) (used bool, to string) {
	used, known := s.usedKeyFields()[path]
	return used || !known, fmt.Sprintf("%s keys", s.Keys.Kind)
}

// brief keeps a file's text from filling an error.
func brief(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

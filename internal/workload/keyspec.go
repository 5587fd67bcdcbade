package workload

import (
	"fmt"
	"strconv"
	"strings"
)

// A KeyKind is a rule for choosing keys.
type KeyKind int

// The kinds of keys.
const (
	KindZipf     KeyKind = iota // few keys are popular, most are not
	KindUniform                 // all keys alike
	KindScan                    // one key after the other, in a loop
	KindZipfScan                // zipf with scans in between
	KindTrace                   // a recorded trace
)

var kindNames = [...]string{KindZipf: "zipf", KindUniform: "uniform", KindScan: "scan",
	KindZipfScan: "zipf-scan", KindTrace: "trace"}

// String returns the kind's name: zipf, uniform, scan, zipf-scan or trace.
func (k KeyKind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("KeyKind(%d)", int(k))
	}
	return kindNames[k]
}

// MarshalText returns the kind's name.
func (k KeyKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText parses a kind's name.
func (k *KeyKind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = KeyKind(i)
			return nil
		}
	}
	return fmt.Errorf("%q: must be one of %s", text, strings.Join(kindNames[:], ", "))
}

// A KeySpec selects how keys are chosen. As text it is one of
//
//	zipf:SKEW
//	uniform
//	scan
//	zipf-scan:SKEW[,SHARE[,LENGTH]]
//	trace:PATH
//
// such as zipf:1.01. SHARE is the fraction of requests that belong to scans, and LENGTH the number
// of keys in a scan.
type KeySpec struct {
	Kind       KeyKind
	Skew       float64 // of zipf and zipf-scan: above 0; 1.01 is a usual web load
	ScanShare  float64 // of zipf-scan: above 0 and below 1; 0 means DefaultScanShare
	ScanLength uint64  // of zipf-scan: keys per scan; 0 means a tenth of all keys
	Path       string  // of trace: its file
}

// DefaultScanShare is the default fraction of the requests of zipf-scan that belong to scans.
const DefaultScanShare = 0.3

func (k KeySpec) hasSkew() bool { return k.Kind == KindZipf || k.Kind == KindZipfScan }

func (k KeySpec) scanShare() float64 {
	if k.ScanShare == 0 {
		return DefaultScanShare
	}
	return k.ScanShare
}

func (k KeySpec) scanLength(count uint64) uint64 {
	if k.ScanLength == 0 {
		return max(1, count/10)
	}
	return k.ScanLength
}

// scanBegin returns the probability p of beginning a scan of l requests with which scans make up
// the share s of all requests: s = pl/(pl + 1-p), solved for p.
func (k KeySpec) scanBegin(count uint64) float64 {
	s := k.scanShare()
	l := float64(min(k.scanLength(count), count))
	return s / (s + l*(1-s))
}

// Validate returns an error that names the first field that is invalid, or that is set though the
// kind does not use it.
func (k KeySpec) Validate() error {
	if k.Kind < KindZipf || k.Kind > KindTrace {
		return fmt.Errorf("keys: kind: unknown kind %d", int(k.Kind))
	}
	if k.hasSkew() {
		if err := checkSkew(k.Skew); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
	} else if k.Skew != 0 {
		return fmt.Errorf("keys: skew: not for %s keys, got %v", k.Kind, k.Skew)
	}
	if k.Kind == KindZipfScan {
		if !(k.ScanShare >= 0 && k.ScanShare < 1) {
			return fmt.Errorf("keys: scan share: must be at least 0 and below 1, got %v", k.ScanShare)
		}
	} else if k.ScanShare != 0 || k.ScanLength != 0 {
		return fmt.Errorf("keys: scan share and length: not for %s keys, got %v and %d", k.Kind,
			k.ScanShare, k.ScanLength)
	}
	if k.Kind == KindTrace && k.Path == "" {
		return fmt.Errorf("keys: path: must be given for trace keys")
	}
	if k.Kind != KindTrace && k.Path != "" {
		return fmt.Errorf("keys: path: not for %s keys, got %q", k.Kind, k.Path)
	}
	return nil
}

// String returns the text form, which UnmarshalText parses.
func (k KeySpec) String() string {
	switch k.Kind {
	case KindZipf:
		return "zipf:" + formatFloat(k.Skew)
	case KindZipfScan:
		text := "zipf-scan:" + formatFloat(k.Skew)
		if k.ScanShare != 0 || k.ScanLength != 0 {
			text += "," + formatFloat(k.ScanShare)
		}
		if k.ScanLength != 0 {
			text += "," + strconv.FormatUint(k.ScanLength, 10)
		}
		return text
	case KindTrace:
		return "trace:" + k.Path
	default:
		return k.Kind.String()
	}
}

// MarshalText returns the text form, as String does.
func (k KeySpec) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText parses the text form. The error quotes the text and gives the reason.
func (k *KeySpec) UnmarshalText(text []byte) error {
	name, rest, colon := strings.Cut(string(text), ":")
	var spec KeySpec
	err := spec.Kind.UnmarshalText([]byte(name))
	if err != nil {
		return fmt.Errorf("keys %q: kind %w", text, err)
	}
	switch spec.Kind {
	case KindTrace:
		spec.Path = rest
	case KindUniform, KindScan:
		if colon {
			return fmt.Errorf("keys %q: nothing may follow %q", text, name)
		}
	default:
		if !colon {
			return fmt.Errorf("keys %q: the skew is missing; write %s:1.01", text, name)
		}
		parts := strings.Split(rest, ",")
		if most := 3; spec.Kind == KindZipf && len(parts) > 1 || len(parts) > most {
			return fmt.Errorf("keys %q: too many parts", text)
		}
		if spec.Skew, err = parseFloat(parts[0]); err != nil {
			return fmt.Errorf("keys %q: skew %w", text, err)
		}
		if len(parts) > 1 {
			if spec.ScanShare, err = parseFloat(parts[1]); err != nil {
				return fmt.Errorf("keys %q: scan share %w", text, err)
			}
		}
		if len(parts) > 2 {
			if spec.ScanLength, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
				return fmt.Errorf("keys %q: scan length %q is not a whole number", text, parts[2])
			}
		}
	}
	if err := spec.Validate(); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	*k = spec
	return nil
}

func parseFloat(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return f, nil
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

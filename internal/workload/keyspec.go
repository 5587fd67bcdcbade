package workload

import (
	"errors"
	"fmt"
	"slices"
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
	KindTrace                   // a recorded trace, which has no text
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

// A KeySpec says how keys are chosen. As text it is one of
//
//	zipf:SKEW
//	uniform
//	scan
//	zipf-scan:SKEW[,SHARE[,LENGTH]]
//
// such as zipf:1.01. SHARE is the fraction of requests that belong to scans, and LENGTH the number
// of keys in a scan.
type KeySpec struct {
	Kind       KeyKind
	Skew       float64 // of zipf and zipf-scan: above 0; 1.01 is a usual web load
	ScanShare  float64 // of zipf-scan: above 0 and below 1; 0 means DefaultScanShare
	ScanLength uint64  // of zipf-scan: keys per scan; 0 means a tenth of all keys
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
		return fmt.Errorf("unknown kind %d", int(k.Kind))
	}
	if k.hasSkew() {
		if err := checkSkew(k.Skew); err != nil {
			return err
		}
	} else if k.Skew != 0 {
		return fmt.Errorf("skew: not for %s keys, got %v", k.Kind, k.Skew)
	}
	if k.Kind == KindZipfScan {
		if !(k.ScanShare >= 0 && k.ScanShare < 1) {
			return fmt.Errorf("scan share: must be at least 0 and below 1, got %v", k.ScanShare)
		}
	} else if k.ScanShare != 0 || k.ScanLength != 0 {
		return fmt.Errorf("scan share and length: not for %s keys, got %v and %d", k.Kind,
			k.ScanShare, k.ScanLength)
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
	default:
		return k.Kind.String()
	}
}

// MarshalText returns the text form, as String does.
func (k KeySpec) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the text form. The error says what the text must be.
func (k *KeySpec) UnmarshalText(text []byte) error {
	name, rest, colon := strings.Cut(string(text), ":")
	laws := kindNames[:KindTrace]
	spec := KeySpec{Kind: KeyKind(slices.Index(laws, name))}
	if spec.Kind < 0 {
		return fmt.Errorf("must be one of %s, got %q", strings.Join(laws, ", "), text)
	}
	form := map[KeyKind]string{KindZipf: "zipf:SKEW", KindUniform: "uniform", KindScan: "scan",
		KindZipfScan: "zipf-scan:SKEW[,SHARE[,LENGTH]]"}[spec.Kind]
	wrong := fmt.Errorf("must be %s, got %q", form, text)
	parts := strings.Split(rest, ",")
	if most := strings.Count(form, ",") + 1; colon != spec.hasSkew() || len(parts) > most {
		return wrong
	}
	var errs [3]error
	if colon {
		spec.Skew, errs[0] = strconv.ParseFloat(parts[0], 64)
	}
	if len(parts) > 1 {
		spec.ScanShare, errs[1] = strconv.ParseFloat(parts[1], 64)
	}
	if len(parts) > 2 {
		spec.ScanLength, errs[2] = strconv.ParseUint(parts[2], 10, 64)
	}
	if errors.Join(errs[:]...) != nil {
		return wrong
	}
	if err := spec.Validate(); err != nil {
		return err
	}
	*k = spec
	return nil
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

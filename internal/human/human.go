package human

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Missing is shown for a value that does not exist.
const Missing = "–"

// Duration formats d with a suitable unit: "45 µs", "1.2 ms", "5.0 s", "2 min 5 s". Below ten of a
// unit it keeps one decimal.
func Duration(d time.Duration) string {
	if d < 0 {
		if d == math.MinInt64 {
			d++
		}
		return "-" + Duration(-d)
	}
	if d == 0 {
		return "0 s"
	}
	if d < time.Microsecond {
		return strconv.FormatInt(int64(d), 10) + " ns"
	}
	if s, ok := scaled(float64(d)/1e3, 10); ok {
		return s + " µs"
	}
	if s, ok := scaled(float64(d)/1e6, 10); ok {
		return s + " ms"
	}
	if tenths := math.Round(d.Seconds() * 10); tenths < 600 {
		return strconv.FormatFloat(tenths/10, 'f', 1, 64) + " s"
	}
	sec := int64(math.Round(d.Seconds()))
	if sec < 3600 {
		return pair(sec/60, " min", sec%60, " s")
	}
	minutes := (sec + 30) / 60
	return pair(minutes/60, " h", minutes%60, " min")
}

// Plain formats a duration that was chosen and not measured: "8 s" and not "8.0 s".
func Plain(d time.Duration) string { return strings.Replace(Duration(d), ".0 ", " ", 1) }

// Seconds formats a number of seconds, as Duration does.
func Seconds(s float64) string {
	if !finite(s) {
		return Missing
	}
	ns := s * 1e9
	if math.Abs(ns) >= math.MaxInt64 {
		return Number(s) + " s"
	}
	return Duration(time.Duration(math.Round(ns)))
}

// Count formats n with a comma between thousands.
func Count[N int | int64 | uint64](n N) string { return group(fmt.Sprint(n)) }

// Plural formats a number of things: "1 node", "2 nodes".
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Number formats f with a comma between thousands. Below 100 it keeps up to two decimals; above
// 10^15 it uses an exponent.
func Number(f float64) string {
	switch a := math.Abs(f); {
	case !finite(f):
		return Missing
	case a >= 1e15 || (a > 0 && a < 0.005):
		return strconv.FormatFloat(f, 'g', 3, 64)
	case a < 99.995:
		return trimZeros(strconv.FormatFloat(f, 'f', 2, 64))
	default:
		return group(strconv.FormatFloat(f, 'f', 0, 64))
	}
}

// Rate formats events per second: "3.4/s", "12,345/s".
func Rate(perSecond float64) string {
	if !finite(perSecond) {
		return Missing
	}
	if a := math.Abs(perSecond); a < 9.95 && a >= 0.05 {
		return strconv.FormatFloat(perSecond, 'f', 1, 64) + "/s"
	}
	if a := math.Abs(perSecond); a < 1e15 && (a == 0 || a >= 0.05) {
		return group(strconv.FormatFloat(perSecond, 'f', 0, 64)) + "/s"
	}
	return strconv.FormatFloat(perSecond, 'g', 3, 64) + "/s"
}

// Bytes formats a size with a binary unit: "512 B", "3.4 MiB".
func Bytes(n float64) string {
	if !finite(n) {
		return Missing
	}
	if n < 0 {
		return "-" + Bytes(-n)
	}
	if math.Round(n) < 1024 {
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	units := []string{" KiB", " MiB", " GiB", " TiB", " PiB"}
	for i, unit := range units {
		n /= 1024
		if math.Round(n) < 1024 {
			s, _ := scaled(n, 100)
			return s + unit
		}
		if i == len(units)-1 {
			return Number(n) + unit
		}
	}
	return Missing
}

// Percent formats a fraction as a percentage with two decimals: 0.7921 is "79.21 %". A fraction
// other than 0 and 1 is never shown as 0 or 100 %.
func Percent(fraction float64) string {
	switch p := fraction * 100; {
	case !finite(p):
		return Missing
	case p > 0 && p < 0.005:
		return "<0.01 %"
	case p < 100 && p >= 99.995:
		return ">99.99 %"
	case math.Abs(p) >= 1e15:
		return strconv.FormatFloat(p, 'g', 3, 64) + " %"
	default:
		return group(strconv.FormatFloat(p, 'f', 2, 64)) + " %"
	}
}

// SI formats f with a metric suffix, short enough for an axis: "12k", "1.5M".
func SI(f float64) string {
	a := math.Abs(f)
	if !finite(f) {
		return Missing
	}
	if a >= 1e15 || (a > 0 && a < 1e-3) {
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	for _, s := range []struct {
		size   float64
		suffix string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if a >= s.size {
			unit := s.size
			if s.suffix == "k" {
				unit = 1e3
			}
			return trimZeros(strconv.FormatFloat(f/unit, 'f', 2, 64)) + s.suffix
		}
	}
	return trimZeros(group(strconv.FormatFloat(f, 'f', 3, 64)))
}

// scaled formats f with one decimal below limit. It reports false if f rounds to 1000 or more, so
// that the caller goes on to the next unit.
func scaled(f, limit float64) (string, bool) {
	if math.Round(f*10)/10 < limit {
		return strconv.FormatFloat(f, 'f', 1, 64), true
	}
	return strconv.FormatFloat(f, 'f', 0, 64), math.Round(f) < 1000
}

func pair(big int64, bigUnit string, small int64, smallUnit string) string {
	s := Count(big) + bigUnit
	if small != 0 {
		s += " " + Count(small) + smallUnit
	}
	return s
}

// group inserts commas into the integer part of a decimal number.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, frac, hasFrac := strings.Cut(s, ".")
	var b strings.Builder
	b.WriteString(sign)
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	if hasFrac {
		b.WriteByte('.')
		b.WriteString(frac)
	}
	return b.String()
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

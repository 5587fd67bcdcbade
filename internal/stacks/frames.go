package stacks

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"runtime"
	"strings"
)

// courierPackages are the packages whose frames may be between a goroutine's start and the function
// of a flight.
var courierPackages = map[string]bool{
	"github.com/snowfence/snowfence/courier":                true,
	"github.com/snowfence/snowfence/courier/internal/guard": true,
	"github.com/snowfence/snowfence/courier/errgroup":       true,
	"github.com/snowfence/snowfence/courier/singleflight":   true,
	"github.com/snowfence/snowfence/cache":                  true,
	"github.com/snowfence/snowfence/cache/cluster":          true,
}

// leastCut is a number of calls that a profile has only of deeper stacks: it has the innermost 128
// calls, unless GODEBUG=profstackdepth says otherwise, and a complete stack ends with one that trim
// takes off.
const leastCut = 127

// trim takes the frames of the scheduler and those between the goroutine's start and the flight's
// function off g. It reports whether g is a goroutine of a flight: one that the function has
// started with a go statement inherits the label, and may outlive the flight, but did not start in
// the courier.
func (g *group) trim() bool {
	f := g.frames
	for len(f) > 0 && packageOf(f[len(f)-1].function) == "runtime" {
		f = f[:len(f)-1]
	}
	switch {
	case len(f) == 0:
		return false
	case packageOf(f[len(f)-1].function) == "github.com/snowfence/snowfence/courier":
		if !strings.HasSuffix(f[len(f)-1].function, ".run") {
			g.kind = child
		}
	case len(f) >= leastCut:
		g.kind = unknown
	default:
		return false
	}
	user := f
	for len(user) > 0 && courierPackages[packageOf(user[len(user)-1].function)] {
		user = user[:len(user)-1]
	}
	for len(user) > 0 && packageOf(user[0].function) == "runtime" {
		user = user[1:]
	}
	if len(user) > 0 {
		f = user
	}
	g.frames = f
	return true
}

// packageOf returns the import path of a function's package.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	dot := strings.IndexByte(function[slash:], '.')
	if dot < 0 {
		return function
	}
	// the linker escapes dots in the last element of an import path
	return function[:slash] + strings.ReplaceAll(function[slash:slash+dot], "%2e", ".")
}

// where describes a stack in one line.
func where(frames []frame) string {
	in, by := frames[0], frames[len(frames)-1]
	for _, f := range frames {
		if !isStandard(f) {
			in = f
			break
		}
	}
	if in == by {
		return in.String()
	}
	return in.String() + ", called by " + by.String()
}

// String returns the function's name without the folders of its package, and its line.
func (f frame) String() string {
	return fmt.Sprintf("%s (%s:%d)", path.Base(f.function), path.Base(f.file), f.line)
}

// standardSource is the folder of the standard library's source; empty if the program was built
// with -trimpath.
var standardSource = func() string {
	file, _ := runtime.FuncForPC(reflect.ValueOf(errors.New).Pointer()).FileLine(0)
	return strings.TrimSuffix(file, "errors/errors.go")
}()

// isStandard reports whether f is a function of the standard library.
func isStandard(f frame) bool {
	if standardSource != "" {
		return strings.HasPrefix(f.file, standardSource)
	}
	first, _, _ := strings.Cut(packageOf(f.function), "/")
	return first != "main" && !strings.Contains(first, ".")
}

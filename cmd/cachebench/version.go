package main

import (
	"regexp"
	"runtime/debug"
	"strings"
)

// version returns the module's version and the Go that built this program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return moduleVersion(info.Main.Version) + " " + info.GoVersion
}

// pseudo matches the version that the go command makes up for a commit without a tag.
var pseudo = regexp.MustCompile(`-(?:0\.)?\d{14}-([0-9a-f]{12})`)

// moduleVersion returns 0.1.0 for a build of the tag v0.1.0. A build of any other commit is
// devel with the commit's hash, since the next version's number, which the go command puts
// before it, is not released yet; a build without version control is devel alone.
func moduleVersion(v string) string {
	v, modified := strings.CutSuffix(v, "+dirty")
	if v == "" || v == "(devel)" {
		return "devel"
	}
	if m := pseudo.FindStringSubmatch(v); m != nil {
		v = "devel " + m[1]
	}
	v = strings.TrimPrefix(v, "v")
	if modified {
		v += " modified"
	}
	return v
}

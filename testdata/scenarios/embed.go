// Package scenarios holds the scenario files, for programs that bring them
// along. The README beside it documents their format.
package scenarios

import "embed"

// Files is the scenario files of this folder.
//
//go:embed *.yaml
var Files embed.FS

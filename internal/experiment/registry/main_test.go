package registry

import (
	"fmt"
	"os"
	"testing"

	"github.com/snowfence/snowfence/internal/leak"
)

// asNode makes this test program a node's process.
const asNode = "registry-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asNode {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leak.Main(m)
}

// nodeProcess is the command line of such a process.
func nodeProcess(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, asNode}
}

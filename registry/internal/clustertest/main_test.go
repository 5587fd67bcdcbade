package clustertest

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/leak"
)

// childEnv holds the spec, as JSON, of the node that this process runs; it is not set in the test's
// own process.
const childEnv = "SNOWFENCE_CLUSTERTEST_NODE"

// atOnce is the number of tests that run at a time by default: they mostly wait.
const atOnce = 4

func TestMain(m *testing.M) {
	if s := os.Getenv(childEnv); s != "" {
		os.Exit(serve(s, os.Stdin, os.Stdout))
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		n := atOnce
		if testing.Short() {
			n = 3 * atOnce // fewer would take longer than -short should
		}
		if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
			panic(err)
		}
	}
	os.Exit(leak.Run(m, 10*time.Second))
}

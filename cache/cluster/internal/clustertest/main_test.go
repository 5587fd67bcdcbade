package clustertest

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/leak"
)

// childEnv has the spec of the node that this process is to be, as JSON; none in the test's own
// process.
const childEnv = "SNOWFENCE_CACHE_CLUSTERTEST_NODE"

// atOnce is how many tests run at a time unless -parallel says so: they mostly wait.
const parallelTests = 5

func TestMain(m *testing.M) {
	if s := os.Getenv(childEnv); s != "" {
		os.Exit(serve(s, os.Stdin, os.Stdout))
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(parallelTests)); err != nil {
			panic(err)
		}
	}
	os.Exit(leak.Run(m, 5*time.Second))
}

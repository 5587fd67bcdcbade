package clustertest

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/snowfence/snowfence/internal/leak"
)

// childEnv names the environment variable with the spec of the process's node, as JSON. The test's
// own process has none.
const childEnv = "SNOWFENCE_CACHE_CLUSTERTEST_NODE"

// parallelTests is the default of -parallel: the tests mostly wait.
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

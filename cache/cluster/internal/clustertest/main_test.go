package clustertest

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv has the spec of the node that this process is to be, as JSON; none in the test's own process.
const childEnv = "SNOWFENCE_CACHE_CLUSTERTEST_NODE"

// atOnce is how many tests run at a time unless -parallel says so: they mostly wait.
const atOnce = 5

func TestMain(m *testing.M) {
	if s := os.Getenv(childEnv); s != "" {
		os.Exit(serve(s, os.Stdin, os.Stdout))
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leaks looks for goroutines that are left in the test's own process.
func leaks() int {
	var err error
	for range 50 {
		if err = goleak.Find(); err == nil {
			return 0
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

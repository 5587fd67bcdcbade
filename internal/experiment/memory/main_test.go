package memory

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// cellVariable makes this program the process of a cell.
const cellVariable = "MEMORY_TEST_CELL"

func TestMain(m *testing.M) {
	switch os.Getenv(cellVariable) {
	case "serve":
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "garbage":
		fmt.Println("{}\nno JSON")
		os.Exit(0)
	case "silence":
		os.Exit(0)
	case "stuck":
		time.Sleep(time.Hour)
	}
	goleak.VerifyTestMain(m)
}

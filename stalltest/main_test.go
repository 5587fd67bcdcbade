package stalltest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/snowfence/snowfence/stalltest"
)

func TestMain(m *testing.M) {
	stalltest.Main(matrixSubjects()...)
	goleak.VerifyTestMain(m)
}

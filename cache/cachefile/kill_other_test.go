//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package cachefile_test

const childVariable = "CACHEFILE_TEST_CHILD"

func runChild(string) {}

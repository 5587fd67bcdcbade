package main

import (
	"github.com/snowfence/snowfence/internal/lab"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

type output struct{ *lab.Output }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &lab.UsageError{Err: err}
}

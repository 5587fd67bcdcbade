//go:build !linux

package main

// availableMemory returns the bytes that new processes can take without swapping, if it is known.
func availableMemory() (bytes float64, ok bool) { return 0, false }

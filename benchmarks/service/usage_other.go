//go:build !unix

package main

// measureProcess does nothing: on this system processor time and memory stay unknown.
func (u *usage) measureProcess() {}

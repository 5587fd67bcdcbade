//go:build !race

package deletes

const race = false

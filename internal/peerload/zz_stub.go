package peerload

import (
	"context"
	"errors"
	"io"
	"time"
)

// DefaultConfig is what runs if nothing is said.
func DefaultConfig() Config {
	return Config{Nodes: 3, Ownerships: []Ownership{ByKey, None}, Duration: 12 * time.Second, Rate: 500, Keys: 1000, Zipf: 1.1, Size: 256,
		TTL: 5 * time.Second, Capacity: 10000, Deadline: 5 * time.Second, OriginLatency: 20 * time.Millisecond,
		Disturb: Calm, Start: 4 * time.Second, End: 8 * time.Second, Victims: 1, Seed: 1}
}

// Validate returns an error if c can't be run.
func (c Config) Validate() error { return nil }

var errNotYet = errors.New("not yet")

// Execute runs c.
func Execute(context.Context, Config) (*Result, error) { return nil, errNotYet }

// Serve is a node's process.
func Serve(io.Reader, io.Writer) error { return errNotYet }

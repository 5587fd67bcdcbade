package stalltest

import (
	"context"
	"time"
)

// A Subject makes instances of a cache to test, or of anything else that de-duplicates loads.
type Subject struct {
	// Name identifies the subject among others. It can be empty where there is one.
	Name string

	// New makes a Cache for one case, set up as its users would do it. It is called once per
	// case.
	New func(Setup) (Cache, error)

	// Refreshes is set if New heeds Setup.RefreshAfter: values are loaded anew in the
	// background before they expire.
	Refreshes bool
	// ServesStale is set if New heeds Setup.StaleFor: expired values are given if their load
	// fails.
	ServesStale bool
	// Notifies is set if New heeds Setup.OnEviction.
	Notifies bool
}

// A Setup is the input of Subject.New. Zero values of the last five fields mean that the case
// does not depend on them.
type Setup struct {
	// Load loads a key. The subject calls it for a key that it does not have, with the context
	// that it gives to the load functions of its users, or that of the caller.
	Load func(ctx context.Context, key string) (string, error)
	// LoadMany loads many keys, for Cache.FetchMany.
	LoadMany func(ctx context.Context, keys []string) (map[string]string, error)

	TTL          time.Duration // of each value
	RefreshAfter time.Duration // the age from which the next fetch of a value refreshes it; below TTL
	StaleFor     time.Duration // the time past TTL for which a value may be given if its load fails
	Capacity     int           // in entries
	OnEviction   func(key, value string)
}

// A Cache is an instance of the subject, as functions. A function that the subject does not have
// is nil, and its cases have the verdict None. All functions are called concurrently.
type Cache struct {
	// Fetch returns the value of a key, and loads it with Setup.Load if there is none. It must
	// not be nil.
	Fetch func(ctx context.Context, key string) (string, error)
	// FetchMany returns the values of the keys, and loads those that are missing with
	// Setup.LoadMany. It may return some of the values and an error.
	FetchMany func(ctx context.Context, keys []string) (map[string]string, error)
	// FetchAny is Fetch for keys that are interfaces: its Setup.Load gets the key as fmt.Sprint
	// formats it.
	FetchAny func(ctx context.Context, key any) (string, error)
	// Set stores a value. It is nil if the subject stores nothing.
	Set func(key, value string)
	// Delete removes a key so that later callers load it anew.
	Delete func(key string)
	// Go starts a goroutine that is linked to the load whose context is ctx: if f fails or
	// panics, the load fails.
	Go func(ctx context.Context, f func(context.Context) error)
	// Close releases the instance, when the load functions have been released. It may be nil.
	Close func() error
}

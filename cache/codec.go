package cache

import "github.com/snowfence/snowfence/cache/internal/codec"

// A Codec turns values into bytes and back, for a second level and for the way between the nodes
// of package cluster. Its methods are called by several goroutines at a time. They must not keep
// or change their arguments, but for the bytes that Decode gets.
type Codec[V any] interface {
	// Name distinguishes codecs: bytes that a codec of another name has made are not decoded.
	Name() string
	// Encode returns the bytes of a value. The caller does not change them, so they may be the value
	// itself.
	Encode(value V) ([]byte, error)
	// Decode returns the value of bytes that came from outside the process, so it must check them.
	// It may keep the bytes.
	Decode(data []byte) (V, error)
}

// JSON returns the [Codec] of encoding/json, the default for all types but []byte and string,
// which are taken as they are.
func JSON[V any]() Codec[V] { return codec.JSON[V]{} }

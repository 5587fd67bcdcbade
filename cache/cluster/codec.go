package cluster

import (
	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/internal/codec"
)

// A Codec turns values into bytes and back, for the way between nodes: see cache.Codec. Nodes whose
// codecs have different names do not ask each other.
type Codec[V any] = cache.Codec[V]

// JSON returns the [Codec] of encoding/json, the default for most types.
func JSON[V any]() Codec[V] { return cache.JSON[V]() }

// encodeValue calls Encode. If that panics, the value can't be sent; no caller gets the panic, nor
// do callers of other keys of a batch.
func (c *Cache[V]) encodeValue(v V) ([]byte, error) { return codec.Encode(c.o.Codec, v) }

// decodeValue calls Decode, and turns a panic into an error.
func (c *Cache[V]) decodeValue(data []byte) (V, error) { return codec.Decode(c.o.Codec, data) }

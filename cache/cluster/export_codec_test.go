package cluster

import "github.com/snowfence/snowfence/cache/internal/codec"

// BytesCodec is the default codec of []byte.
var BytesCodec Codec[[]byte] = codec.Bytes{}

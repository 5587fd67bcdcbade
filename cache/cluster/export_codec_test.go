package cluster

// BytesCodec is the default codec of []byte.
var BytesCodec Codec[[]byte] = bytesCodec{}

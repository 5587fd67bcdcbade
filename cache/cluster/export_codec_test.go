package cluster

// BytesCodec is the codec of []byte where there is no other.
var BytesCodec Codec[[]byte] = bytesCodec{}

package partition_test

import (
	"errors"
	"fmt"

	"github.com/snowfence/snowfence/partition"
)

// Every node with the same number of partitions maps a key to the same one.
func Example() {
	m, err := partition.New(16)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []string{"user:123", "user:124", ""} {
		fmt.Printf("%q is in partition %d of %d\n", key, m.Of(key), m.Len())
	}
	// Output:
	// "user:123" is in partition 3 of 16
	// "user:124" is in partition 13 of 16
	// "" is in partition 7 of 16
}

// New rejects a count that is out of range.
func ExampleNew() {
	_, err := partition.New(0)
	fmt.Println(errors.Is(err, partition.ErrCount))
	fmt.Println(err)
	// Output:
	// true
	// partition: count out of range: 0 is not within 1 to 65536
}

// A key read from the network does not have to be converted to a string.
func ExampleMap_OfBytes() {
	m, err := partition.New(1000)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.OfBytes([]byte("user:123")) == m.Of("user:123"))
	// Output: true
}

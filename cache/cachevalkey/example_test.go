package cachevalkey_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valkey-io/valkey-go"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/cache/cachevalkey"
	"github.com/snowfence/snowfence/internal/valkeytest"
)

// All options of a client fit into a URL. The server may be down now.
func ExampleNew() {
	client, err := valkey.ParseURL("rediss://app:secret@valkey.example.com:6379/2")
	if err != nil {
		log.Fatal(err)
	}
	storage, err := cachevalkey.New(cachevalkey.Options{Client: client, Prefix: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer storage.Close()

	_, err = cachevalkey.New(cachevalkey.Options{Client: client, Prefix: "{shop}"})
	fmt.Println(err)
	// Output:
	// cachevalkey: Options.Prefix: "{shop}": want 1 to 128 bytes without { and }
}

// What a cache does with a Storage: it reads before it loads, stores what it has loaded, and
// notifies others of a delete. What was loaded before the delete is not stored after it.
func ExampleStorage() { //nolint:testableexamples // it needs a server; a test runs share
	if err := share(context.Background(), "127.0.0.1:6379"); err != nil {
		log.Fatal(err)
	}
}

func share(ctx context.Context, addr string) error {
	o := cachevalkey.Options{Client: valkey.ClientOption{InitAddress: []string{addr}}}
	storage, err := cachevalkey.New(o)
	if err != nil {
		return err
	}
	defer storage.Close()
	if err := storage.Check(ctx); err != nil {
		return err
	}
	other, err := cachevalkey.New(o) // in another process
	if err != nil {
		return err
	}
	defer other.Close()
	deleted := make(chan []string, 1)
	defer other.Watch(func(n cache.Notice) { deleted <- n.Keys })()

	keys := []string{"pear"}
	first, err := other.Read(ctx, keys, 0)
	if err != nil {
		return err
	}
	if err := storage.Delete(ctx, keys); err != nil {
		return err
	}
	fmt.Println("deleted:", <-deleted)
	record := cache.Record{
		Key: "pear", Data: []byte("37"), Fence: first.Stored[0].Fence, Keep: time.Hour,
	}
	if err := other.Write(ctx, []cache.Record{record}); err != nil { // it is too late
		return err
	}
	second, err := other.Read(ctx, keys, 0)
	if err != nil {
		return err
	}
	fmt.Println("stored:", second.Stored[0].Data != nil)
	return nil
}

func TestExample(t *testing.T) {
	server := valkeytest.Run(t, valkeytest.Options{})
	require.NoError(t, share(t.Context(), server.Addr()))
}

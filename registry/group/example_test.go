package group_test

import (
	"context"
	"fmt"
	"time"

	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/group"
)

// Two nodes in one process, each with members of one group.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	first, err := registry.Open(ctx, registry.Config{NodeName: "first"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(first)
	second, err := registry.Open(ctx,
		registry.Config{NodeName: "second", Seeds: []string{first.Addr()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop(second)
	here, err := group.Open(ctx, first)
	if err != nil {
		fmt.Println(err)
		return
	}
	there, err := group.Open(ctx, second)
	if err != nil {
		fmt.Println(err)
		return
	}

	w := here.Watch(ctx, "room 7")
	connection, hangUp := context.WithCancel(context.Background()) // the life of the member
	defer hangUp()
	if _, err := there.Join(connection, "room 7", []byte("10.0.0.2:5222")); err != nil {
		fmt.Println(err)
		return
	}
	e, err := w.Next(ctx)
	fmt.Printf("%v: %s on %s %v\n", e.Kind, e.Member.Meta, e.Member.Node, err)

	if _, err := here.Join(connection, "room 7", []byte("10.0.0.1:5222")); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range here.Members("room 7") {
		fmt.Printf("send to %s at %s\n", m.Node, m.Meta)
	}

	hangUp() // so they are no longer members
	for here.Len("room 7") > 0 {
		if _, err := w.Next(ctx); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("the room is empty")

	// Output:
	// joined: 10.0.0.2:5222 on second <nil>
	// send to first at 10.0.0.1:5222
	// send to second at 10.0.0.2:5222
	// the room is empty
}

func stop(r *registry.Registry) {
	if err := r.Close(); err != nil {
		fmt.Println(err)
	}
}

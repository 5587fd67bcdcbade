package courier_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/snowfence/snowfence/courier"
)

func waitForRow(ch chan int) (int, error) {
	return <-ch, nil
}

func TestX(t *testing.T) {
	c := courier.New[string, int](courier.WithTimeout(50 * time.Millisecond))
	ch := make(chan int)
	_, _, err := c.Do(t.Context(), "k", func(ctx context.Context) (int, error) {
		courier.Go(ctx, func(context.Context) error { <-ch; return nil })
		return waitForRow(ch)
	})
	fmt.Println(err)
	fmt.Printf("%s\n", err.(*courier.TimeoutError).Stack)
	close(ch)
}

package peer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// When the line is cut, the owner does not learn that its asker has left. It gives up when the
// asker would have.
func TestLeavingThatIsLost(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	a := configA()
	a.PeerTimeout = 300 * time.Millisecond
	n := connect(t, http1, a, configB(),
		backend{fetch: func(ctx context.Context, _, _ string, _ []byte) (Value, error) {
			close(begun)
			<-ctx.Done()
			ended <- ctx.Err()
			return Value{}, ctx.Err()
		}})
	p := newLine(t, strings.TrimSuffix(n.to.URL, "/_cache"))
	n.to.URL = p.url
	errs := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := n.fetch(ctx, "k")
		errs <- err
	}()
	receive(t, begun, "the request")
	p.set(true)
	unavailable(t, receive(t, errs, "the error"), Silent)
	assert.ErrorIs(t, receive(t, ended, "the end of the Backend's context"), context.DeadlineExceeded)
}

package benchmarks

import (
	"context"
	"database/sql"
	"net"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// silentServer accepts connections and never answers, until stop closes them.
func silentServer(t *testing.T) (addr string, stop func()) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), func() {
		assert.NoError(t, l.Close())
		<-accepted
	}
}

// A query to a database that does not answer times out with an error that names the line of the
// query, and the call of the driver that waits. With -v the test prints the error and its stack.
func TestHangOfADatabase(t *testing.T) {
	addr, stop := silentServer(t)
	db, err := sql.Open("postgres", "postgres://user@"+addr+"/db?sslmode=disable")
	require.NoError(t, err)
	users, err := cache.New(cache.Options[int, string]{Timeout: 300 * time.Millisecond})
	require.NoError(t, err)

	_, err = users.Fetch(t.Context(), 7, func(_ context.Context, id int) (string, error) {
		var name string
		err := db.QueryRow("SELECT name FROM users WHERE id = $1", id).Scan(&name) //nolint:noctx // it hangs
		return name, err
	})
	var hang *courier.TimeoutError
	require.ErrorAs(t, err, &hang)
	t.Logf("the error:\n%v\nits stack:\n%s", err, hang.Stack)
	assert.Regexp(t, `: in pq\.\S+ \(\w+\.go:\d+\), called by benchmarks\.TestHangOfADatabase\.func1 `+
		`\(hang_test\.go:\d+\)$`, err.Error())
	assert.Contains(t, string(hang.Stack), "net.(*conn).Read(...)")
	assert.Contains(t, string(hang.Stack), "database/sql.(*DB).QueryRow(...)")
	stop()
	assert.NoError(t, users.Close())
	assert.NoError(t, db.Close())
}

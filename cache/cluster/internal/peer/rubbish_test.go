package peer

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A response that is not from a Server never yields a value.
func TestRubbish(t *testing.T) {
	write := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header()[headers[i]] = append(w.Header()[headers[i]], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	ours := func(kind, length string, more ...string) []string {
		f := append([]string{version, kind, length}, more...)
		return []string{headerAnswer, fields(append(f, []string{"0", "0"}[len(more):]...)...)}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		reason  Reason
	}{
		"HTML":            {write(200, "<html>It works!</html>"), OtherService},
		"HTML, not found": {write(404, "<html>404</html>"), WrongPath},
		"redirect":        {write(302, "", "Location", "/login"), OtherService},
		"no content":      {write(204, ""), OtherService},
		"login":           {write(401, "<html>log in</html>"), Denied},
		"forbidden":       {write(403, ""), Denied},
		"bad gateway":     {write(502, "<html>nginx</html>"), Unreachable},
		"unavailable":     {write(503, "upstream connect error"), Unreachable},
		"gateway timeout": {write(504, ""), Unreachable},
		"another version": {write(200, "v", headerAnswer, "2 value and more"), OtherVersion},
		"no version":      {write(200, "v", headerAnswer, ""), Rubbish},
		"two headers": {write(200, "v", append(ours("value", "1"), ours("value", "1")...)...),
			Rubbish},
		"no kind":                {write(200, "v", headerAnswer, version), Rubbish},
		"a field more":           {write(200, "v", headerAnswer, "1 value 1 0 0 0"), Rubbish},
		"unknown kind":           {write(200, "v", ours("gift", "1")...), Rubbish},
		"kind of another status": {write(500, "v", ours("value", "1")...), Rubbish},
		"value as misdirected":   {write(421, "v", ours("value", "1")...), Rubbish},
		"misplaced as value":     {write(200, "v", ours("misplaced", "1")...), Rubbish},
		"no length":              {write(200, "v", ours("value", "")...), Rubbish},
		"length of words":        {write(200, "v", ours("value", "one")...), Rubbish},
		"negative length":        {write(200, "v", ours("value", "-1")...), Rubbish},
		"too short":              {write(200, "v", ours("value", "2")...), Rubbish},
		"too long":               {write(200, "vv", ours("value", "1")...), Rubbish},
		"empty but announced":    {write(200, "", ours("value", "1")...), Rubbish},
		"too large":              {write(200, "v", ours("value", "99999999999")...), Rubbish},
		"too large an error":     {write(500, "v", ours("failed", "32769")...), Rubbish},
		"no error":               {write(500, "v", ours("failed", "1")...), Rubbish},
		"empty error":            {write(500, "", ours("failed", "0")...), Rubbish},
		"keep of words":          {write(200, "v", ours("value", "1", "1s")...), Rubbish},
		"keep of an error":       {write(421, "v", ours("misplaced", "1", "1")...), Rubbish},
		"owner without end": {write(421, strings.Repeat("n", maxName+1),
			ours("misplaced", "1025")...), Rubbish},
		"oversize, no size": {write(422, "1", ours("oversize", "1")...), Rubbish},
		"signs of words":    {write(200, "v", ours("value", "1", "0", "some")...), Rubbish},
		"negative signs":    {write(200, "v", ours("value", "1", "0", "-1")...), Rubbish},
		"final as interim":  {write(200, "", ours("failed", "0")...), Rubbish},
	} {
		for _, p := range bothProtocols {
			t.Run(fmt.Sprintf("%s/%s", p, name), func(t *testing.T) {
				k := NewClient(configA(), transport(t, p))
				defer k.Close()
				to := Address{Node: "b", URL: serveOn(t, p, c.handler), Incarnation: incarnationB}
				v, err := k.Fetch(t.Context(), to, "k", nil)
				unavailable(t, err, c.reason)
				assert.Zero(t, v)
				m, err := k.Exchange(t.Context(), to, []byte("m"))
				unavailable(t, err, c.reason)
				assert.Nil(t, m)
			})
		}
	}
}

// raw is a server that sends bytes, whatever it is asked, and closes the connection.
func raw(tb testing.TB, answer string) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			_, _ = io.WriteString(c, answer)
			_ = c.Close()
		}
	}()
	tb.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

func TestRawBytes(t *testing.T) {
	ours := headerAnswer + ": 1 value 5 0 0\r\n"
	for name, c := range map[string]struct {
		answer string
		reason Reason
	}{
		"nothing":     {"", Lost},
		"noise":       {"\x00\x01\x02\xff\xfe noise\r\n\r\n", OtherService},
		"SSH":         {"SSH-2.0-OpenSSH_9.6\r\n", OtherService},
		"half a head": {"HTTP/1.1 200 OK\r\n" + ours, Lost},
		"no colon":    {"HTTP/1.1 200 OK\r\nrubbish\r\n\r\n", OtherService},
		"cut off": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + ours + "\r\nval",
			Unreachable},
		"cut off, HTTP/1.0": {"HTTP/1.0 200 OK\r\n" + ours + "\r\nval", Unreachable},
		"cut off, chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + ours +
			"\r\n3\r\nval\r\n", Unreachable},
		"short, chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + ours +
			"\r\n3\r\nval\r\n0\r\n\r\n", Unreachable},
		"long, chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + ours +
			"\r\n6\r\nvalue!\r\n0\r\n\r\n", Rubbish},
		"another length": {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n" + ours + "\r\nvalu", Rubbish},
		"switching protocols": {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: " +
			"upgrade\r\n" + ours + "\r\nvalue", Rubbish},
		"header without end": {"HTTP/1.1 200 OK\r\n" + ours + "X: " + strings.Repeat("x", 1<<20),
			OtherService},
		"interim without end": {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), Lost},
		"102s and the end":    {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100), Lost},
		"compressed, unwanted": {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n" +
			ours + "\r\n\x1f\x8b\x08\x00", Rubbish},
	} {
		t.Run(name, func(t *testing.T) {
			k := NewClient(configA(), transport(t, http1))
			defer k.Close()
			v, err := k.Fetch(t.Context(), Address{Node: "b", URL: raw(t, c.answer), Incarnation: incarnationB}, "k", nil)
			unavailable(t, err, c.reason)
			assert.Zero(t, v)
		})
	}
	t.Run("and what is right", func(t *testing.T) {
		k := NewClient(configA(), transport(t, http1))
		defer k.Close()
		to := Address{Node: "b", URL: raw(t, "HTTP/1.0 200 OK\r\n"+ours+"\r\nvalue"), Incarnation: incarnationB}
		v, err := k.Fetch(t.Context(), to, "k", nil)
		require.NoError(t, err)
		assert.Equal(t, "value", string(v.Data))
	})
}

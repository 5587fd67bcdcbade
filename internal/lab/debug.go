package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/snowfence/snowfence/debug"
	"github.com/snowfence/snowfence/internal/lab/params"
)

// serveDebug serves the page of package debug, and the goroutine profile, until stop is called. An
// address without a host is that of this machine alone.
func serveDebug(ctx context.Context, addr string, stderr io.Writer) (
	page *debug.Handler, stop func(), err error,
) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, &params.FieldError{Field: "--debug-addr", Reason: err.Error()}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, nil, &params.FieldError{Field: "--debug-addr", Reason: err.Error()}
	}
	// The keys of the load tool are numbers that it has drawn, and may be shown.
	page, err = debug.New(debug.Options{KeyText: func(key any) string { return fmt.Sprint(key) }})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until it is closed
	}()
	fmt.Fprintf(stderr, "The debug page is at http://%s/\n", l.Addr())
	return page, func() {
		_ = server.Close()
		<-ended
	}, nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
)

// errNoPicture is what Load returns for a name that has no picture.
var errNoPicture = errors.New("no such picture")

// A gallery serves thumbnails.
type gallery struct {
	node   string
	thumbs *cluster.Cache[[]byte]
	log    *slog.Logger
}

// ServeHTTP serves GET and DELETE of /thumb/{name}.
func (g gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	w.Header().Set("X-Node", g.node)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		g.get(w, r, name)
	case http.MethodDelete:
		if err := g.thumbs.Delete(r.Context(), name); err != nil {
			// It is gone here and will be on the nodes that are named; until then they may show the old one.
			g.log.Warn("not all nodes have forgotten a picture yet", "name", name, "error", err)
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, HEAD, DELETE")
		http.Error(w, "GET or DELETE", http.StatusMethodNotAllowed)
	}
}

func (g gallery) get(w http.ResponseWriter, r *http.Request, name string) {
	began := time.Now()
	thumb, here := g.thumbs.Get(name)
	if !here {
		// Every request has a deadline: what is behind the cache may be slow, and nobody waits for ever.
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		var err error
		if thumb, err = g.thumbs.Fetch(ctx, name); err != nil {
			g.fail(w, name, err)
			return
		}
	}
	from := "here"
	if !here {
		from = "made, or asked for"
	}
	w.Header().Set("X-Cache", from)
	w.Header().Set("X-Took", time.Since(began).Round(time.Microsecond).String())
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(thumb)
}

func (g gallery) fail(w http.ResponseWriter, name string, err error) {
	status := http.StatusBadGateway
	switch {
	case errors.Is(err, errNoPicture):
		status = http.StatusNotFound
	case errors.Is(err, cluster.ErrOverloaded), errors.Is(err, cluster.ErrClosed):
		status = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	g.log.Warn("no thumbnail", "name", name, "error", err)
	http.Error(w, err.Error(), status)
}

// A maker makes thumbnails. It takes its time, as decoding a large picture would.
type maker struct{ work time.Duration }

// make is the cache's Load: it runs once for all who wait, on whatever node they are.
func (m maker) make(ctx context.Context, name string) ([]byte, error) {
	if strings.HasPrefix(name, "no-") {
		return nil, errNoPicture
	}
	select {
	case <-time.After(m.work):
	case <-ctx.Done(): // everybody who waited has left
		return nil, context.Cause(ctx)
	}
	const size = 64
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	tint := h.Sum32()
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for x := range size {
		for y := range size {
			img.SetRGBA(x, y, color.RGBA{uint8(tint + uint32(x)), uint8(tint>>8 + uint32(y)), uint8(tint >> 16), 255}) //nolint:gosec // colours wrap around
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

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
	"strings"
	"time"
)

// A thumbnail is a value of the cache. Nodes send it to each other as JSON. All callers share it,
// so they must not change it.
type thumbnail struct {
	MadeBy string // the node
	PNG    []byte
}

// errNoPicture is returned by make for a name that has no picture.
var errNoPicture = errors.New("no such picture")

// A maker makes thumbnails. It waits for makeTime first, to stand for the time that fetching and
// decoding a large picture takes.
type maker struct {
	node     string
	makeTime time.Duration
	log      *slog.Logger
}

// make returns the thumbnail for name. It is the cache's Load: it runs once for all callers on all
// nodes.
func (m maker) make(ctx context.Context, name string) (*thumbnail, error) {
	if strings.HasPrefix(name, "no-") {
		return nil, errNoPicture
	}
	select {
	case <-time.After(m.makeTime):
	case <-ctx.Done(): // no caller waits any more, or the time-out has passed
		return nil, context.Cause(ctx)
	}
	b, err := draw(name)
	if err != nil {
		return nil, err
	}
	m.log.Info("made", "name", name)
	return &thumbnail{MadeBy: m.node, PNG: b}, nil
}

// weight returns the size of a thumbnail in bytes, as counted towards Cache.MaxWeight.
func weight(name string, t *thumbnail) uint32 {
	return uint32(len(name) + len(t.PNG) + 200) //nolint:gosec // thumbnails are small
}

// draw returns a PNG whose colours depend on name. It stands for scaling down a picture.
func draw(name string) ([]byte, error) {
	const size = 64
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	tint := h.Sum32()
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for x := range size {
		for y := range size {
			red, green := uint8(tint)+uint8(x), uint8(tint>>8)+uint8(y)       //nolint:gosec // may wrap
			img.SetRGBA(x, y, color.RGBA{red, green, uint8(tint >> 16), 255}) //nolint:gosec // may wrap
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

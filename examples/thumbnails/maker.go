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

// A thumbnail is what is cached, and sent from node to node as JSON. All who ask for it share it: nobody may change it.
type thumbnail struct {
	MadeBy string // the node
	PNG    []byte
}

// errNoPicture is what make returns for a name that has no picture.
var errNoPicture = errors.New("no such picture")

// A maker makes thumbnails. It takes its time, as fetching and decoding a large picture would.
type maker struct {
	node string
	work time.Duration
	log  *slog.Logger
}

// make is the cache's Load: it runs once for all who wait, on whatever node they are.
func (m maker) make(ctx context.Context, name string) (*thumbnail, error) {
	if strings.HasPrefix(name, "no-") {
		return nil, errNoPicture
	}
	select {
	case <-time.After(m.work):
	case <-ctx.Done(): // all who waited have left, so nobody needs it any more
		return nil, context.Cause(ctx)
	}
	b, err := draw(name)
	if err != nil {
		return nil, err
	}
	m.log.Info("made", "name", name)
	return &thumbnail{MadeBy: m.node, PNG: b}, nil
}

// weight is what a thumbnail takes of Cache.MaxWeight, in bytes.
func weight(name string, t *thumbnail) uint32 {
	return uint32(len(name) + len(t.PNG) + 200) //nolint:gosec // thumbnails are small
}

// draw stands in for scaling down a picture: each name has its own colours.
func draw(name string) ([]byte, error) {
	const size = 64
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	tint := h.Sum32()
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for x := range size {
		for y := range size {
			red, green := uint8(tint)+uint8(x), uint8(tint>>8)+uint8(y)       //nolint:gosec // they may wrap around
			img.SetRGBA(x, y, color.RGBA{red, green, uint8(tint >> 16), 255}) //nolint:gosec // so may this
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

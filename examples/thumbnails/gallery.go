package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
)

// patience is how long a request may take.
const patience = 5 * time.Second

// A gallery serves thumbnails to users.
type gallery struct {
	node   string
	thumbs *cluster.Cache[*thumbnail]
	log    *slog.Logger
}

func (g gallery) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /thumb/{name}", g.get)
	mux.HandleFunc("DELETE /thumb/{name}", g.forget)
	return mux
}

func (g gallery) get(w http.ResponseWriter, r *http.Request) {
	// Every request has a deadline: what is behind a cache may be slow, and nobody waits for ever. It is for this user
	// alone; if others wait for the same thumbnail, it is made for them all the same.
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	name, began := r.PathValue("name"), time.Now()
	thumb, err := g.thumbs.Fetch(ctx, name)
	w.Header().Set("X-Node", g.node)
	w.Header().Set("X-Took", time.Since(began).Round(time.Microsecond).String())
	if err != nil {
		g.fail(w, r, name, err)
		return
	}
	w.Header().Set("X-Made-By", thumb.MadeBy)
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(thumb.PNG)
}

// forget is what the service calls that lets users change their pictures.
func (g gallery) forget(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	name := r.PathValue("name")
	var unconfirmed *cluster.UnconfirmedError
	switch err := g.thumbs.Delete(ctx, name); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &unconfirmed):
		// It is gone on all other nodes, and will be on these; until then they may show the old one.
		g.log.Warn("not all nodes have forgotten a picture yet", "name", name, "nodes", unconfirmed.Nodes, "error", err)
		w.WriteHeader(http.StatusAccepted)
	default:
		g.fail(w, r, name, err)
	}
}

// fail answers in as few words as a stranger needs; the log has the rest: which node, why, and the stack of a panic.
func (g gallery) fail(w http.ResponseWriter, r *http.Request, name string, err error) {
	status := http.StatusBadGateway
	switch {
	case r.Context().Err() != nil: // the user has left
		return
	case errors.Is(err, errNoPicture): // also if it was found out on another node, see cluster.Options.Errors
		http.Error(w, errNoPicture.Error(), http.StatusNotFound)
		return
	case errors.As(err, new(*cluster.KeyError)):
		status = http.StatusRequestURITooLong
	case errors.Is(err, cluster.ErrOverloaded), errors.Is(err, cluster.ErrClosed):
		status = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	g.log.Warn("request failed", "name", name, "status", status, "error", err)
	http.Error(w, http.StatusText(status), status)
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/snowfence/snowfence/cache/cluster"
)

// requestTimeout bounds a request.
const requestTimeout = 5 * time.Second

// A gallery serves thumbnails to users.
type gallery struct {
	node   string
	thumbs *cluster.Cache[*thumbnail]
	log    *slog.Logger
}

func (g gallery) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /thumb/{name}", g.get)
	mux.HandleFunc("DELETE /thumb/{name}", g.delete)
	return mux
}

func (g gallery) get(w http.ResponseWriter, r *http.Request) {
	// Every request has a deadline, since a load may hang. It applies to this request only: if
	// others wait for the same thumbnail, the load goes on for them.
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
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

// delete deletes a thumbnail on all nodes. The service in which users change their pictures calls
// it.
func (g gallery) delete(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	name := r.PathValue("name")
	var unconfirmed *cluster.UnconfirmedError
	switch err := g.thumbs.Delete(ctx, name); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &unconfirmed):
		// These nodes will delete it later; until then they may return the old one. All others
		// have deleted it.
		g.log.Warn("not all nodes have deleted a thumbnail yet",
			"name", name, "nodes", unconfirmed.Nodes, "error", err)
		w.WriteHeader(http.StatusAccepted)
	default:
		g.fail(w, r, name, err)
	}
}

// fail responds with a status and without details, which strangers should not see. The log has
// them: the node, the cause, and the stack of a panic.
func (g gallery) fail(w http.ResponseWriter, r *http.Request, name string, err error) {
	status := http.StatusBadGateway
	switch {
	case r.Context().Err() != nil: // the user has left
		return
	case errors.Is(err, errNoPicture): // even if another node returned it; see cluster.Options.Errors
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

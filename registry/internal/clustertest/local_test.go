package clustertest

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/hashicorp/memberlist"

	"github.com/snowfence/snowfence/internal/lab/cutnet"
	"github.com/snowfence/snowfence/registry"
)

// A local is a node in the test's own process.
type local struct {
	actor *actor
	endings
}

// startLocal opens a node over plain sockets.
func startLocal(tb testing.TB, s *spec) (caller, string, error) {
	tb.Helper()
	return startOver(tb, s, nil)
}

// over returns a starter of nodes over links that can be cut.
func over(cut *cutnet.Network) starter {
	return func(tb testing.TB, s *spec) (caller, string, error) {
		tb.Helper()
		tr, err := cut.Listen(s.Name, "127.0.0.1", s.Port)
		if err != nil {
			return nil, "", err
		}
		return startOver(tb, s, tr)
	}
}

func startOver(tb testing.TB, s *spec, tr memberlist.Transport) (caller, string, error) {
	tb.Helper()
	log := slog.New(slog.NewTextHandler(newTail(tb, s.Name), nil))
	l := new(local)
	var err error
	if l.actor, err = open(s.config(log, tr), l.add); err != nil {
		var duplicate *registry.DuplicateNameError
		if errors.As(err, &duplicate) {
			err = fmt.Errorf("%w: %w", errDuplicate, err)
		}
		return nil, "", err
	}
	tb.Cleanup(func() {
		if err := l.actor.close(); err != nil {
			tb.Error(err)
		}
	})
	return l, l.actor.reg.Addr(), nil
}

func (l *local) call(q *request) (*reply, error) {
	r := l.actor.do(q)
	if r.Error != "" {
		return nil, errors.New(r.Error)
	}
	return r, nil
}

// kill closes the registry without notifying the others, which is the closest to SIGKILL in this
// process.
func (l *local) kill() error { return l.actor.close() }
func (l *local) exit() error { return l.actor.close() }

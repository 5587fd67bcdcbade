package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxJoins is how many seeds are tried at a time.
const maxJoins = 16

// Join asks nodes at the seeds to take this one in. A seed is host:port, or a host with the own
// port; a name stands for all its addresses. It blocks until all have answered or failed, a few
// seconds at the most, or until the context ends. Attempts under way then may still succeed.
//
// It returns how many addresses answered. The own address is left out: a node that has only itself as
// a seed is its cluster's first, and that is no error. If none answered, the error holds a [*SeedError] for
// each seed. If some did, it holds only those that say that this node, as it is, must stay out of what
// the seed belongs to: a [*MismatchError] or a [*DuplicateNameError] is within, for errors.As. A node that is
// refused has merged nothing with the cluster that refused it, and is unknown there.
//
// Seeds are remembered: those that answered are among the addresses where lost members are looked for.
func (m *Mesh) Join(ctx context.Context, seeds ...string) (answered int, err error) {
	targets, errs := m.resolve(ctx, seeds)
	results := make(chan result, len(targets))
	slots := make(chan struct{}, maxJoins)
	for _, t := range targets {
		ok := m.spawn(func() {
			select {
			case slots <- struct{}{}:
				results <- result{t, m.joinOne(t)}
				<-slots
			case <-ctx.Done(): // whoever waited has left
			case <-m.ctx.Done():
			}
		})
		if !ok {
			return 0, ErrClosed
		}
	}
	pending := make(map[target]struct{}, len(targets))
	for _, t := range targets {
		pending[t] = struct{}{}
	}
	for len(pending) > 0 {
		select {
		case r := <-results:
			delete(pending, r.target)
			if r.err == nil {
				answered++
				m.rejoin.seed(r.target.addr)
			} else {
				errs = append(errs, &SeedError{Seed: r.target.seed, Addr: r.target.addr, Err: r.err})
			}
			continue
		case <-ctx.Done():
			err = fmt.Errorf("no answer in time: %w", context.Cause(ctx))
		case <-m.ctx.Done():
			err = ErrClosed
		}
		for t := range pending {
			errs = append(errs, &SeedError{Seed: t.seed, Addr: t.addr, Err: err})
		}
		break
	}
	if answered == 0 {
		return 0, errors.Join(errs...)
	}
	var refused []error
	for _, e := range errs {
		if refusal(e) {
			refused = append(refused, e)
		} else {
			m.log.Info("seed failed, others answered", "err", e)
		}
	}
	return answered, errors.Join(refused...)
}

// A target is an address to join at, and the seed that stands for it.
type target struct{ seed, addr string }

type result struct {
	target target
	err    error
}

// resolve turns seeds into addresses, each once and not the own.
func (m *Mesh) resolve(ctx context.Context, seeds []string) (targets []target, errs []error) {
	seen := map[string]struct{}{m.self.Addr: {}}
	for _, seed := range seeds {
		host, port, err := splitSeed(seed, m.self.Addr)
		if err != nil {
			errs = append(errs, &SeedError{Seed: seed, Err: err})
			continue
		}
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			errs = append(errs, &SeedError{Seed: seed, Err: fmt.Errorf("%w: %w", ErrUnreachable, err)})
			continue
		}
		for _, ip := range ips {
			addr := netip.AddrPortFrom(ip.Unmap(), port).String()
			if _, ok := seen[addr]; !ok {
				seen[addr] = struct{}{}
				targets = append(targets, target{seed, addr})
			}
		}
	}
	return targets, errs
}

// splitSeed takes host:port, or a host alone, which has the own port.
func splitSeed(seed, self string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(seed)
	if err != nil {
		_, text, _ = net.SplitHostPort(self)
		host, _, err = net.SplitHostPort(net.JoinHostPort(strings.Trim(seed, "[]"), text))
	}
	if err != nil || host == "" {
		return "", 0, errors.New("not of the form host:port")
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("its port %q is not within 1 to 65535", text)
	}
	return host, uint16(n), nil
}

// joinOne exchanges memberships with the node at an address. It blocks for a few times ioTimeout at the most.
func (m *Mesh) joinOne(t target) error {
	token := "join-" + strconv.FormatUint(m.tokens.Add(1), 10)
	a := m.transport.watch(token)
	defer m.transport.unwatch(token)
	// Memberlist takes what is before the slash for the node's name, and hands it to the transport.
	_, err := m.list.Join([]string{token + "/" + t.addr})
	if err == nil {
		return nil
	}
	if m.ctx.Err() != nil {
		return ErrClosed
	}
	return m.why(err, a)
}

// why says in plain words why an attempt to join failed. Memberlist keeps only texts of errors, but what
// the transport saw says more.
func (m *Mesh) why(err error, a *attempt) error {
	text := err.Error()
	if refused := m.refusals.recall(text, strings.Contains); refused != nil {
		return refused
	}
	switch {
	case a.dial != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, a.dial)
	case strings.Contains(text, "no installed keys could decrypt"):
		return fmt.Errorf("%w: both nodes encrypt, with different keys", ErrKey)
	case strings.Contains(text, "encryption is configured but remote state is not encrypted") && !strings.Contains(text, "remote error"):
		return fmt.Errorf("%w: this node encrypts and what answers there does not", ErrKey)
	case strings.Contains(text, "remote state is encrypted and encryption is not configured"):
		return fmt.Errorf("%w: the seed encrypts and this node has no key", ErrKey)
	case strings.Contains(text, "remote error"):
		return errors.New(text)
	case a.connected.Load() && a.read.Load() == 0:
		return ErrNoAnswer
	case a.connected.Load():
		return fmt.Errorf("%w (%s)", ErrForeign, strings.TrimSpace(lastLine(text)))
	}
	return errors.New(text)
}

// lastLine leaves out the heading under which memberlist lists errors.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

package peer

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// tooOften is after how many failures in a row a node is passed over.
	tooOften = 5
	// rest is how long it is passed over, at least, and twice that at most. Each Client and address has its own, so
	// that the nodes of a cluster don't all try at once.
	rest = time.Second
)

var (
	errTooOften = errors.New("it has failed too often, and is tried again soon")
	errAsAbsent = errors.New("peer: the caller has left") // to the breaker: it was neither good nor bad
)

// target is what a Client knows of an address.
type target struct {
	to      Address
	fetch   *url.URL
	deletes *url.URL
	header  http.Header // of each request; not to be changed
	epoch   atomic.Uint64
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	err     error // why it can't be asked
}

func newTarget(c *Config, to Address) *target {
	t := &target{to: to}
	base, err := url.Parse(to.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		t.err = fmt.Errorf("URL %q: want an absolute http or https URL", to.URL)
		return t
	}
	at := func(e endpoint) *url.URL {
		u := *base
		u.Path = strings.TrimRight(u.Path, "/") + "/v" + version + "/" + string(e)
		u.RawPath, u.RawQuery, u.Fragment = "", "", ""
		return &u
	}
	t.fetch, t.deletes = at(fetchEndpoint), at(deletesEndpoint)
	t.epoch.Store(to.Run)
	t.header = http.Header{
		headerProtocol: {version},
		headerCache:    {url.QueryEscape(c.Cache)},
		headerNode:     {url.QueryEscape(c.Node)},
		headerFrom:     {formatRun(c.Run)},
		headerTo:       {formatRun(to.Run)},
		headerSilence:  {strconv.FormatInt(int64(c.Silence), 10)},
		"Content-Type": {contentType},
		// What arrives is checked and counted as it was sent.
		"Accept-Encoding": {"identity"},
	}
	t.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     rest + rand.N(rest), //nolint:gosec // not a secret: it spreads the tries
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tooOften },
		IsExcluded:  func(err error) bool { return errors.Is(err, errAsAbsent) },
	})
	return t
}

// headers returns those of one request, to which more may be added.
func (t *target) headers() http.Header { return maps.Clone(t.header) }

func (t *target) url(e endpoint) *url.URL {
	if e == deletesEndpoint {
		return t.deletes
	}
	return t.fetch
}

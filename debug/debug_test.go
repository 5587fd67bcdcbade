package debug_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
	"github.com/snowfence/snowfence/courier"
	"github.com/snowfence/snowfence/debug"
)

func newPage(t *testing.T, o debug.Options) *debug.Handler {
	t.Helper()
	h, err := debug.New(o)
	require.NoError(t, err)
	return h
}

// view returns the body of a view, and checks that it is one.
func view(t *testing.T, h http.Handler, query string) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/any/where?"+query, http.NoBody))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	return w.Body.String()
}

// snapshot returns a view as JSON.
func snapshot(t *testing.T, h http.Handler) (v debug.Snapshot) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(view(t, h, "format=json")), &v))
	return v
}

// start calls Do in a goroutine.
func start[K comparable](
	t *testing.T, c *courier.Courier[K, int], key K, fetch func(context.Context) (int, error),
) {
	t.Helper()
	ctx := t.Context()
	go func() { _, _, _ = c.Do(ctx, key, fetch) }()
}

// hangHere is the function whose name is in stacks.
func hangHere(release <-chan struct{}) { <-release }

func TestAViewNamesTheFlightThatHangsAndItsLine(t *testing.T) {
	t.Parallel()
	for name, fetch := range map[string]func(context.Context, <-chan struct{}){
		"function": func(_ context.Context, release <-chan struct{}) { hangHere(release) },
		"child": func(ctx context.Context, release <-chan struct{}) {
			courier.Go(ctx, func(context.Context) error {
				hangHere(release)
				return nil
			})
			<-ctx.Done() // as if for the child's answer
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				users, err := cache.New(cache.Options[string, int]{})
				require.NoError(t, err)
				defer users.Close()
				h := newPage(t, debug.Options{})
				h.Add("users", debug.Cache(users))
				require.Empty(t, snapshot(t, h).Attention)

				release := make(chan struct{})
				for range 3 {
					go func() {
						_, _ = users.Fetch(t.Context(), "alice@example.com",
							func(ctx context.Context, _ string) (int, error) {
								fetch(ctx, release)
								return 1, nil
							})
					}()
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				v := snapshot(t, h)
				flights := v.Sources[0].Flights
				require.Equal(t, 1, flights.Total)
				f := flights.Rows[0]
				require.Equal(t, users.Inspect().KeyText("alice@example.com"), f.Key)
				require.InDelta(t, 5, f.AgeSeconds, 0.001)
				require.Equal(t, 3, f.Waiters)
				require.Equal(t, "running", f.State)
				require.Regexp(t, `debug_test\.hangHere\(\.\.\.\)\n\t.*debug_test\.go:\d+`, f.Stack)
				require.Contains(t, f.Where, "debug_test.go:")
				require.Equal(t, f.Where, flights.Places[0].Where)
				require.Contains(t, v.Attention[0].Text, "1 flight hangs; the oldest is 5.0 s old")

				for _, format := range []string{"html", "json", "text"} {
					body := view(t, h, "format="+format)
					require.NotContains(t, body, "alice", "a key is personal data")
					require.Contains(t, body, "debug_test.go:", format)
				}

				time.Sleep(courier.DefaultTimeout) // the flight is over, and its function runs on
				synctest.Wait()
				f = snapshot(t, h).Sources[0].Flights.Rows[0]
				require.Equal(t, "abandoned", f.State)
				require.Zero(t, f.Waiters)
				require.Contains(t, f.Stack, "hangHere")
				close(release)
				synctest.Wait()
				require.Zero(t, snapshot(t, h).Sources[0].Flights.Total)
			})
		})
	}
}

func TestAViewShowsWhatANestedFlightWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int]()
		h := newPage(t, debug.Options{})
		h.Add("c", debug.Courier(c))
		release := make(chan struct{})
		start(t, c, "outer", func(ctx context.Context) (int, error) {
			v, _, err := c.Do(ctx, "inner", func(context.Context) (int, error) {
				hangHere(release)
				return 1, nil
			})
			return v, err
		})
		synctest.Wait()
		var outer debug.Flight
		for _, f := range snapshot(t, h).Sources[0].Flights.Rows {
			if f.Key == c.KeyText("outer") {
				outer = f
			}
		}
		require.Equal(t, []string{c.KeyText("inner")}, outer.WaitsFor)
		close(release)
		synctest.Wait()
	})
}

func TestAViewShowsRestingKeysSlowLoadsAndDurations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := courier.New[string, int](courier.WithBackoff(time.Minute, time.Hour))
		h := newPage(t, debug.Options{})
		h.Add("orders", debug.Courier(c))
		_, _, err := c.Do(t.Context(), "order-4711", func(context.Context) (int, error) {
			time.Sleep(3 * time.Second)
			return 0, errors.New("no route to order-4711")
		})
		require.Error(t, err)
		_, _, err = c.Do(t.Context(), "order-1", func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return 1, nil
		})
		require.NoError(t, err)

		s := snapshot(t, h).Sources[0]
		text := c.KeyText("order-4711")
		require.Equal(t, 1, s.Resting.Total)
		require.Equal(t, text, s.Resting.Rows[0].Key)
		require.Equal(t, 1, s.Resting.Rows[0].Failures)
		require.Equal(t, "no route to "+text, s.Resting.Rows[0].Error, "the key is replaced")
		require.WithinDuration(t, time.Now().Add(45*time.Second), s.Resting.Rows[0].Until, 16*time.Second)
		require.Contains(t, s.Attention[0].Text, "1 key rests")

		require.Len(t, s.Slowest, 2)
		require.Equal(t, text, s.Slowest[0].Key)
		require.Equal(t, "error", s.Slowest[0].End)
		require.InDelta(t, 3, s.Slowest[0].TookSeconds, 0.001)

		ends := map[string]debug.Duration{}
		for _, d := range s.Loads {
			ends[d.End] = d
		}
		require.Len(t, ends, 2)
		require.EqualValues(t, 1, ends["error"].Count)
		require.InEpsilon(t, 3, ends["error"].P50, 0.2)
		require.InEpsilon(t, 1, ends["value"].P99, 0.2)
		require.Equal(t, []debug.Bucket{{Seconds: 4, Count: 1}}, ends["error"].Buckets)
		require.EqualValues(t, 2, s.Waits.Count)
		require.NotContains(t, view(t, h, "format=html"), "4711")
	})
}

func TestAViewShowsRatesAndWhatGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		users, err := cache.New(cache.Options[int, int]{TTL: time.Second, StaleFor: time.Hour})
		require.NoError(t, err)
		defer users.Close()
		h := newPage(t, debug.Options{})
		h.Add("users", debug.Cache(users))
		users.Set(1, 1)
		require.Nil(t, snapshot(t, h).Sources[0].PerSecond, "there was no view before")
		for range 30 {
			users.Get(1)
		}
		time.Sleep(10 * time.Second)
		v, err := users.Fetch(t.Context(), 1, func(context.Context, int) (int, error) {
			return 0, errors.New("down")
		})
		require.NoError(t, err)
		require.Equal(t, 1, v, "the stale value")
		s := snapshot(t, h).Sources[0]
		require.InDelta(t, 10, s.WindowSeconds, 0.001)
		require.InDelta(t, 3, s.PerSecond["hits"], 0.001)
		require.InDelta(t, 30.0/31, *s.RecentHitRatio, 1e-9)
		require.EqualValues(t, 1, s.Counts["stale"])
		var texts []string
		for _, a := range s.Attention {
			texts = append(texts, a.Text)
		}
		require.Contains(t, texts, "callers get stale values (1 time in the last 10 s)")
		require.Contains(t, texts, "loads fail (1 time in the last 10 s)")
		for range 3 { // what does not grow any more is forgotten
			time.Sleep(50 * time.Second)
			s = snapshot(t, h).Sources[0]
		}
		require.Empty(t, s.Attention)
	})
}

func TestKeysAreHostile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hostile = "</script><script>alert(1)</script>\x1b[2J\u202egnp\xff"
		c := courier.New[string, int](
			courier.WithKeyText(func(key any) string { return fmt.Sprint(key) }),
			courier.WithBackoff(time.Minute, time.Hour), courier.WithName("<b>name</b>"))
		h := newPage(t, debug.Options{})
		h.Add("<i>source</i>", debug.Courier(c))
		long := strings.Repeat("x", 1<<20)
		for _, key := range []string{hostile, long} {
			_, _, err := c.Do(t.Context(), key, func(context.Context) (int, error) {
				time.Sleep(time.Second)
				return 0, fmt.Errorf("<img src=x onerror=alert(1)> %s\n", long) //nolint:revive // hostile
			})
			require.Error(t, err)
		}
		release := make(chan struct{})
		start(t, c, hostile+"2", func(context.Context) (int, error) { <-release; return 1, nil })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		html := view(t, h, "format=html")
		require.Equal(t, 1, strings.Count(html, "<script>"), "the page's own")
		for _, tag := range []string{"<img", "<b>name", "<i>source"} {
			require.NotContains(t, html, tag)
		}
		for _, format := range []string{"html", "json", "text"} {
			body := view(t, h, "format="+format)
			require.Less(t, len(body), 64<<10, format)
			require.NotContains(t, body, "\x1b")
			require.NotContains(t, body, "\u202e")
			require.Contains(t, body, `u202egnp`, "it is escaped, and not left out")
		}
		close(release)
		synctest.Wait()
	})
}

// suspects is a source with a suspect key, whose nodes have odd names.
type suspects struct{ courier.Courier[string, int] }

func (s *suspects) Inspect() courier.Inspector { return &s.Courier }

func (*suspects) State(int) debug.State {
	return debug.State{Kind: "cluster", Suspects: []debug.Suspect{{
		Key: "key", State: "suspect", Died: []string{"\x1b[2J"}, Trier: "<b>\u202e",
	}}}
}

func TestNodesAreHostile(t *testing.T) {
	t.Parallel()
	h := newPage(t, debug.Options{})
	h.Add("users", &suspects{})
	for _, format := range []string{"html", "json", "text"} {
		body := view(t, h, "format="+format)
		require.NotContains(t, body, "\x1b")
		require.NotContains(t, body, "\u202e")
		require.NotContains(t, body, "<b>\\u202e")
		require.Contains(t, body, "x1b[2J")
	}
}

// It is not parallel: no profile is taken while there are so many goroutines, and others need one.
func TestTenThousandFlightsMakeASmallPage(t *testing.T) { //nolint:paralleltest // see above
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		c := courier.New[int, int]()
		h := newPage(t, debug.Options{KeyText: func(key any) string { return fmt.Sprint("key ", key) }})
		h.Add("c", debug.Courier(c))
		release := make(chan struct{})
		for i := range n {
			start(t, c, i, func(context.Context) (int, error) {
				hangHere(release)
				return 1, nil
			})
			if i == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f := snapshot(t, h).Sources[0].Flights
		require.Equal(t, n, f.Total)
		require.Len(t, f.Rows, 50)
		require.Equal(t, n-50, f.More)
		require.Equal(t, "key 0", f.Rows[0].Key, "the oldest one is first")
		for _, format := range []string{"html", "json", "text"} {
			require.Less(t, len(view(t, h, "format="+format)), 400<<10, format)
		}
		html := view(t, h, "format=html")
		require.Contains(t, html, "42 younger flights")
		require.Contains(t, html, "and 9,950 more")
		close(release)
		synctest.Wait()
	})
}

func TestASourceThatHangsDoesNotHangThePage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, stuck := make(chan struct{}), make(chan struct{})
		c := courier.New[int, int](courier.WithKeyText(func(any) string { <-stuck; return "late" }))
		well := courier.New[int, int]()
		h := newPage(t, debug.Options{})
		h.Add("stuck", debug.Courier(c))
		h.Add("well", debug.Courier(well))
		h.Add("panics", panics{debug.Courier(well)})
		start(t, c, 1, func(context.Context) (int, error) { <-release; return 1, nil })
		synctest.Wait()
		began := time.Now()
		v := snapshot(t, h)
		require.Contains(t, v.Sources[0].Error, "it does not answer")
		require.Empty(t, v.Sources[1].Error)
		require.Contains(t, v.Sources[2].Error, "panicked: no")
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
		require.Contains(t, view(t, h, "format=html"), "it does not answer")
		require.Contains(t, view(t, h, "format=text"), "it does not answer")
		require.LessOrEqual(t, time.Since(began), 2*time.Second, "later views do not wait")
		close(stuck)
		close(release)
		synctest.Wait()
		time.Sleep(time.Minute)
		require.Empty(t, snapshot(t, h).Sources[0].Error)
	})
}

type panics struct{ debug.Source }

func (panics) State(int) debug.State { panic("no") }

func TestHottestKeysAreShown(t *testing.T) {
	t.Parallel()
	users, err := cache.New(cache.Options[string, int]{})
	require.NoError(t, err)
	defer users.Close()
	h := newPage(t, debug.Options{})
	h.Add("users", debug.Cache(users))
	users.Set("alice@example.com", 1)
	for range 100_000 {
		users.Get("alice@example.com")
	}
	hot := snapshot(t, h).Sources[0].Hottest
	require.Equal(t, users.Inspect().KeyText("alice@example.com"), hot.Keys[0].Key)
	require.InDelta(t, 1, hot.Keys[0].Share, 1e-9)
	require.NotContains(t, view(t, h, "format=html"), "alice")
}

func TestMethodsFormatsAndSources(t *testing.T) {
	t.Parallel()
	h := newPage(t, debug.Options{})
	h.Add("a", debug.Courier(courier.New[int, int]()))
	h.Add("b", debug.Courier(courier.New[int, int]()))
	call := func(method, target, accept string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
		r.Header.Set("Accept", accept)
		h.ServeHTTP(w, r)
		return w
	}
	for accept, want := range map[string]string{
		"text/html,application/xhtml+xml;q=0.9": "text/html; charset=utf-8",
		"application/json":                      "application/json",
		"*/*":                                   "text/plain; charset=utf-8",
	} {
		require.Equal(t, want, call(http.MethodGet, "/", accept).Header().Get("Content-Type"), accept)
	}
	head := call(http.MethodHead, "/debug", "text/html")
	require.Equal(t, http.StatusOK, head.Code)
	require.Empty(t, head.Body.String())
	require.NotEmpty(t, head.Header().Get("Content-Length"))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		w := call(method, "/", "*/*")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	}
	require.Equal(t, http.StatusBadRequest, call(http.MethodGet, "/?format=xml", "*/*").Code)
	require.Equal(t, http.StatusNotFound, call(http.MethodGet, "/?source=c", "*/*").Code)
	one := h.Snapshot(t.Context(), "b")
	require.Len(t, one.Sources, 1)
	require.Equal(t, "b", one.Sources[0].Name)
	h.Remove("b")
	h.Remove("b") // it is not there any more
	require.Len(t, h.Snapshot(t.Context()).Sources, 1)
	require.Panics(t, func() { h.Add("a", debug.Courier(courier.New[int, int]())) })
	require.Panics(t, func() { h.Add("", debug.Courier(courier.New[int, int]())) })
}

func TestThePageRunsNothingButItsOwn(t *testing.T) {
	t.Parallel()
	h := newPage(t, debug.Options{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?format=html", http.NoBody))
	policy := w.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")
	body := w.Body.String()
	for _, tag := range []string{"script", "style"} {
		text := regexp.MustCompile(`(?s)<` + tag + `>(.*)</` + tag + `>`).FindStringSubmatch(body)
		require.Len(t, text, 2)
		require.Contains(t, policy, debug.HashOf(text[1]), "the browser would refuse its "+tag)
	}
	require.NotContains(t, body, "http", "nothing comes from elsewhere")
	require.NotContains(t, body, " style=", "the policy forbids it")
	require.NotRegexp(t, ` on[a-z]+=`, body)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []debug.Options{{Rows: -1}, {Rows: 1001}, {Slow: -1}} {
		_, err := debug.New(o)
		var invalid *debug.OptionError
		require.ErrorAs(t, err, &invalid)
		require.Contains(t, err.Error(), "debug: "+invalid.Field+": ")
	}
}

package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snowfence/snowfence/internal/lab"
	"github.com/snowfence/snowfence/internal/lab/pace"
)

// calm returns the evidence of a run in which nothing happened.
func calm() *evidence {
	return &evidence{
		ttl: time.Second, copyTTL: 200 * time.Millisecond, patience: 3 * time.Second,
		clustered: true,
		names:     []string{"node1", "node2", "node3", "node3"},
		ended:     []time.Duration{unended, unended, unended, unended},
	}
}

// loads reads loads in the order of time: "1:0-20" is one of key/1 by the first process, from 0 ms
// to 20 ms. "3'" is the third node, started again. Behind that may stand "!": it failed; "x": it
// was given up; "?": a node was asked in vain before; "~2": the process had not asked a node twice
// so far; "b": of another key. "…" is an end that did not come.
func loads(t require.TestingT, text string) (list []*loadRecord) {
	form := regexp.MustCompile(`^([123]'?):(\d+)-(\d+|…)([!x?b]*)(?:~(\d+))?$`)
	for word := range strings.FieldsSeq(text) {
		part := form.FindStringSubmatch(word)
		require.NotNil(t, part, word)
		number := func(i int) int {
			n, _ := strconv.Atoi(part[i]) // 0 if there is none
			return n
		}
		l := &loadRecord{
			request: request{Key: "key/1", Process: slices.Index([]string{"1", "2", "3", "3'"}, part[1]),
				Unasked: uint64(number(5))}, //nolint:gosec // few
			start: ms(number(2))[0], end: ms(number(3))[0],
			failed: strings.Contains(part[4], "!"), cut: strings.Contains(part[4], "x"),
		}
		if part[3] == "…" {
			l.end = unended
		}
		if strings.Contains(part[4], "?") {
			l.Vain = "127.0.0.1:1"
		}
		if strings.Contains(part[4], "b") {
			l.Key = "key/2"
		}
		list = append(list, l)
	}
	return list
}

func TestReasons(t *testing.T) {
	split := func(e *evidence) { e.unsettled = []span{{ms(100)[0], ms(500)[0]}} }
	gone := func(e *evidence) { e.ended[2] = ms(100)[0] }
	letDown := func(e *evidence) { e.letDown = map[string][]time.Duration{"key/1": ms(15)} }
	alone := func(e *evidence) { e.clustered = false }
	small := func(e *evidence) { split(e); e.small = true }
	forever := func(e *evidence) { e.ttl = 0 }
	for name, tt := range map[string]struct {
		harm  func(*evidence)
		loads string
		want  string // the reasons in order
	}{
		"after each TTL":         {nil, "1:0-20 1:1020-1040 2:2040-2060", "first ttl ttl"},
		"too soon":               {nil, "1:0-20 1:1019-1040", "first none"},
		"too soon on another":    {nil, "1:0-20 2:1019-1040", "first none"},
		"at the same time":       {nil, "1:0-20 2:10-30", "first none"},
		"endless":                {nil, "1:0-… 2:5000-5020", "first none"},
		"one has brought two":    {nil, "1:0-20 2:500-520 3:1030-1050", "first none none"},
		"for ever":               {forever, "1:0-20 2:9000-9020", "first none"},
		"another key":            {nil, "1:0-20 2:10-30b", "first first"},
		"after a failure":        {nil, "1:0-20! 2:20-40", "first failed"},
		"beside a failure":       {nil, "1:0-20! 2:19-40", "first none"},
		"after one given up":     {nil, "1:0-20x 2:20-40", "first failed"},
		"beside one given up":    {nil, "1:0-20x 1:5-30", "first failed"},
		"given up before that":   {nil, "1:0-20 1:5-30x", "first failed"},
		"given up elsewhere":     {nil, "1:0-20 2:5-30x", "first none"},
		"beside a late one":      {letDown, "1:0-20 1:15-40", "first late"},
		"before it is late":      {letDown, "1:0-20 1:14-40", "first none"},
		"late long before":       {letDown, "1:3016-3020 1:3030-3040", "first none"},
		"its node is gone":       {gone, "3:0-20 1:100-120", "first lost"},
		"its node is going":      {gone, "3:0-20 1:99-120", "first none"},
		"once for what was lost": {gone, "3:0-20 1:100-120 2:200-220", "first lost none"},
		"its node is back":       {gone, "3:0-20 3':300-320", "first lost"},
		"each node in a split":   {split, "1:0-20 2:200-220 3:300-320", "first change change"},
		"a node twice in it":     {split, "1:150-160 2:200-220 2:230-250", "first change none"},
		"a copy that has ended":  {split, "1:150-160 2:200-220 2:420-440", "first change change"},
		"no room for copies":     {small, "1:150-160 2:200-220 2:230-250", "first change change"},
		"the owner after it":     {split, "2:200-220 1:600-620", "first change"},
		"two after it":           {split, "2:200-220 1:600-620 3:700-720", "first change none"},
		"two before it":          {split, "1:0-20 2:50-70", "first none"},
		"asked in vain":          {nil, "1:0-20 2:600-620? 1:650-660", "first in_place none"},
		"the owner after that":   {nil, "2:0-20? 1:10-30 3:40-50", "first in_place none"},
		"twice in vain":          {nil, "1:0-20 2:600-620? 2:700-720?", "first in_place none"},
		"in vain in a split":     {split, "1:0-20 2:200-220? 3:300-320", "first in_place in_place"},
		"passed over":            {nil, "1:0-20 2:600-620~1", "first in_place"},
		"passed over each time": {nil, "1:0-20 2:30-40~1 1:41-42b 2:50-60b~2",
			"first in_place first in_place"},
		"in place, seen later": {nil, "2:0-20~1 1:1-20b 2:30-40b~2 1:50-60",
			"first first in_place in_place"},
		"passed over long ago": {nil, "2:0-20b~1 1:4000-4020 2:4100-4120~1", "first first none"},
		"without a cluster":    {alone, "1:0-20 2:10-30 1:1020-1040", "first each each"},
		"a node alone twice":   {alone, "1:0-20 2:10-30 2:100-120", "first each none"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			before := make(map[Reason]uint64)
			for n := range loads(t, tt.loads) { // one more each time, to see the reason of each
				e := calm()
				if tt.harm != nil {
					tt.harm(e)
				}
				counts, broken := e.explain(loads(t, tt.loads)[:n+1])
				require.Len(t, broken, int(counts[reasonNone])) //nolint:gosec // few
				for why, n := range counts {
					if n > before[why] {
						got = append(got, string(why))
					}
				}
				before = counts
			}
			assert.Equal(t, tt.want, strings.Join(got, " "))
		})
	}
}

// A node that dies changes nothing of what the others own, but by slot. One that seems to be gone
// does.
func TestChanges(t *testing.T) {
	begin := time.Now()
	seen := func(node string, at int) view {
		return view{node, begin.Add(ms(at)[0])}
	}
	of := func(o Ownership, d lab.Disturbance) []span {
		p := defaults()
		p.Disturb = d
		r := &run{p: &p, ownership: o, Clock: pace.Clock{Zero: begin}, ended: ms(5000)[0]}
		r.unsettled = []span{{ms(6000)[0], ms(7000)[0]}}
		r.all = []*process{
			{name: "node1", views: []view{
				seen("node2", -100), seen("node2", 2000), // before the load, and a flap
				seen("node3", 5500), seen("node2", 16_000), // the death, and the end
			}},
			{name: "node2"},
			{name: "node3", leaving: true, left: begin.Add(5 * time.Second)},
		}
		return r.evidence(p.Duration).unsettled
	}
	spans := func(ends ...int) (list []span) {
		for i := 0; i < len(ends); i += 2 {
			list = append(list, span{ms(ends[i])[0], ms(ends[i+1])[0]})
		}
		return list
	}
	flap, death := []int{1000, 3000}, []int{4500, 6500}
	sample, window := []int{6000, 7000}, []int{5000, 6000}
	assert.Equal(t, spans(flap...), of(ByKey, lab.Kill))
	assert.Equal(t, spans(flap...), of(ByRing, lab.Poison))
	assert.Equal(t, spans(slices.Concat(flap, death, sample, window)...), of(BySlot, lab.Kill))
	assert.Equal(t, spans(slices.Concat(flap, death, sample, window)...), of(ByRing, lab.Restart))
	assert.Equal(t, spans(slices.Concat(flap, death, sample)...), of(ByRing, lab.OriginSlow))
	assert.Empty(t, of(None, lab.Kill))
}

// What has no reason is told with key, nodes and times.
func TestBrokenLoadsAreDescribed(t *testing.T) {
	_, broken := calm().explain(loads(t, "1:100-120 2:110-130 3:500-520"))
	require.Equal(t, []string{
		"key/1 at 0.110 s by node2, though node1 was loading it since 0.100 s",
		"key/1 at 0.500 s by node3, though node1 had loaded it from 0.100 s to 0.120 s",
	}, broken)
}

// Of a calm cluster's loads each has a reason, and one that is put between them has none, wherever
// it is.
func TestAPlantedLoadHasNoReason(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var calmly strings.Builder
		at := 0
		for range rapid.IntRange(1, 20).Draw(t, "loads") {
			at += rapid.IntRange(0, 500).Draw(t, "rest")
			took := rapid.IntRange(1, 50).Draw(t, "took")
			node := rapid.IntRange(1, 3).Draw(t, "node")
			fmt.Fprintf(&calmly, " %d:%d-%d", node, at, at+took)
			at += took + 1000
		}
		counts, broken := calm().explain(loads(t, calmly.String()))
		require.Empty(t, broken)
		require.Zero(t, counts[reasonNone])

		list := loads(t, calmly.String())
		beside := rapid.SampledFrom(list).Draw(t, "beside")
		planted := *beside
		planted.Process = rapid.IntRange(0, 2).Draw(t, "planted process")
		most := int64(beside.end - beside.start + time.Second - 1)
		planted.start += time.Duration(rapid.Int64Range(1, most).Draw(t, "later"))
		planted.end = planted.start + time.Millisecond
		list = append(list, &planted)
		slices.SortFunc(list, func(a, b *loadRecord) int { return int(a.start - b.start) })
		counts, broken = calm().explain(list)
		require.NotEmpty(t, broken)
		require.NotZero(t, counts[reasonNone])
	})
}

// A second load in a real run fails the check, which names its key and its node.
func TestAPlantedLoadFailsTheCheck(t *testing.T) {
	t.Parallel()
	p := defaults()
	p.Ownerships, p.Duration, p.Rate, p.KeyCount = []Ownership{ByRing}, 2*time.Second, 100, 5
	p.TTL, p.PeerTimeout, p.Seed = time.Minute, 10*time.Second, rand.Uint64()
	t.Logf("seed %d", p.Seed)
	r := &run{p: &p, ownership: ByRing, env: testEnv(t)}
	planted := false
	r.env.Progress = func(_ float64, doing string) {
		if planted || !strings.Contains(doing, "running") || r.Now() < time.Second {
			return
		}
		planted = true
		body := strings.NewReader(`{"key":"key/0","process":1}`)
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.origin.url, body)
		if assert.NoError(t, err) {
			answer, err := http.DefaultClient.Do(q)
			if assert.NoError(t, err) {
				assert.NoError(t, answer.Body.Close())
			}
		}
	}
	x, err := r.execute(t.Context())
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, err)
	require.True(t, planted)
	failed := failing((&Result{Runs: []*Run{x}}).checks(&p))
	require.Equal(t, []string{"each load has a reason"}, slices.Collect(maps.Keys(failed)))
	got := failed["each load has a reason"]
	require.Regexp(t, fmt.Sprintf(`^1 of %d have none: key/0 at 1\.\d+ s by node2, though `+
		`node\d had loaded it from 0\.\d+ s to 0\.\d+ s$`, x.Loads.Total), got)
}

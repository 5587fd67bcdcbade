package replica

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFlush(t *testing.T) {
	type call struct {
		do   string // + registers, - releases, ~ updates
		name string
	}
	for name, c := range map[string]struct {
		calls []call
		want  []string // as "name" or "-name", in order
	}{
		"nothing":                  {nil, nil},
		"one":                      {[]call{{"+", "x"}}, []string{"x"}},
		"in the order of the last": {[]call{{"+", "x"}, {"+", "y"}, {"~", "x"}}, []string{"y", "x"}},
		"came and went":            {[]call{{"+", "x"}, {"-", "x"}}, []string{"-x"}},
		"came, went and came":      {[]call{{"+", "x"}, {"-", "x"}, {"+", "x"}}, []string{"x"}},
		"many changes, one record": {[]call{{"+", "x"}, {"~", "x"}, {"~", "x"}, {"-", "x"}, {"+", "x"},
			{"~", "x"}}, []string{"x"}},
		"what did not change is away": {[]call{{"+", "x"}, {"f", ""}, {"+", "y"}}, []string{"y"}},
		"a change after a flush":      {[]call{{"+", "x"}, {"f", ""}, {"-", "x"}}, []string{"-x"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, Config{}, "b")
			for _, c := range c.calls {
				switch c.do {
				case "+":
					o.Register(o.at, c.name, nil)
				case "-":
					o.Unregister(o.at, c.name, WhyReleased)
				case "~":
					o.Update(o.at, c.name, []byte("m"))
				case "f":
					o.Flush(1200, 0)
				}
			}
			pending, _ := o.Pending()
			require.Equal(t, len(c.want), pending)
			var got []string
			for _, u := range o.Flush(1200, 0) {
				for _, r := range u.Records {
					if r.Dead {
						got = append(got, "-"+r.Name)
					} else {
						got = append(got, r.Name)
					}
				}
			}
			require.Equal(t, c.want, got)
			pending, _ = o.Pending()
			require.Zero(t, pending)
			require.Empty(t, o.Flush(1200, 0))
		})
	}
}

func TestFlushedUpdatesFollowUponOneAnother(t *testing.T) {
	o := observe(t, Config{}, "b")
	fill(o.Partition, o.at, 100)
	o.Register(o.at, "large", make([]byte, 5000))
	for i := range 50 {
		o.Update(o.at, "n"+strconv.Itoa(2*i), []byte("m"))
	}
	sizes := []int{1, 3, 0}
	var after uint64
	left := 101
	for k := 0; left > 0; k++ {
		n := sizes[k%len(sizes)]
		updates := o.Flush(200, n)
		if n > 0 {
			require.LessOrEqual(t, len(updates), n)
		}
		for _, u := range updates {
			require.Equal(t, after, u.After)
			require.NotEmpty(t, u.Records)
			size := 0
			last := u.After
			for _, r := range u.Records {
				require.Greater(t, r.Seq, last)
				last = r.Seq
				size += sizeOf(r)
			}
			require.LessOrEqual(t, last, u.UpTo)
			require.True(t, size <= 200 || len(u.Records) == 1)
			after = u.UpTo
			left -= len(u.Records)
		}
		pending, _ := o.Pending()
		require.Equal(t, left, pending)
		// Names change between two flushes: one that was handed out, and one that was not.
		if k == 1 {
			o.Update(o.at, "n1", []byte("again"))
			o.Update(o.at, "n98", []byte("again"))
			left, _ = o.Pending()
		}
	}
	require.Equal(t, o.own.seq, after)
}

func TestPendingTellsItsAge(t *testing.T) {
	o := observe(t, Config{}, "b")
	first := o.at.Mono
	o.Register(o.at, "x", nil)
	o.at.Mono += time.Second
	o.Register(o.at, "y", nil)
	_, since := o.Pending()
	require.Equal(t, first, since)
	o.Flush(1200, 0)
	o.at.Mono += time.Second
	o.Register(o.at, "z", nil)
	_, since = o.Pending()
	require.Equal(t, o.at.Mono, since)
}

// A name is queued from its change until Flush hands that out, whether it is registered or
// released.
func TestQueued(t *testing.T) {
	c := newCluster(t, "a")
	p := c.nodes["a"]
	require.False(t, p.Queued("x"))
	p.Register(c.at, "x", nil)
	require.True(t, p.Queued("x"))
	p.Flush(1200, 0)
	require.False(t, p.Queued("x"))
	p.Unregister(c.at, "x", WhyReleased)
	require.True(t, p.Queued("x"), "its tombstone")
	names, _ := p.Pending()
	require.Equal(t, 1, names)
	p.Flush(1200, 0)
	require.False(t, p.Queued("x"))
}

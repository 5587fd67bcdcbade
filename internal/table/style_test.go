package table

import "testing"

func TestStyleFrom(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		{true, nil, true},
		{false, nil, false},
		{true, map[string]string{"NO_COLOR": "1"}, false},
		{true, map[string]string{"TERM": "dumb"}, false},
	} {
		if got := styleFrom(c.terminal, func(k string) string { return c.env[k] }); got.Color != c.want {
			t.Errorf("terminal %v, env %v: %+v", c.terminal, c.env, got)
		}
	}
}

package table

import "testing"

func TestStyleFrom(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		width    int
		env      map[string]string
		want     Style
	}{
		{true, 80, nil, Style{Color: true, Width: 80}},
		{false, 100, nil, Style{Width: 100}},
		{true, 80, map[string]string{"NO_COLOR": "1"}, Style{Width: 80}},
		{true, 80, map[string]string{"TERM": "dumb"}, Style{Width: 80}},
		{true, 80, map[string]string{"COLUMNS": "132"}, Style{Color: true, Width: 132}},
		{false, 100, map[string]string{"COLUMNS": "132"}, Style{Width: 132}},
		{false, 100, map[string]string{"COLUMNS": "wide"}, Style{Width: 100}},
		{true, 3, nil, Style{Color: true, Width: 40}},
	} {
		got := styleFrom(c.terminal, c.width, func(k string) string { return c.env[k] })
		if got != c.want {
			t.Errorf("terminal %v, width %d, env %v: %+v", c.terminal, c.width, c.env, got)
		}
	}
}

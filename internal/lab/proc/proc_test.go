package proc

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/internal/leak"
)

// asChild makes this test program a child with the behaviour of its argument.
const asChild = "proc-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == asChild {
		os.Exit(child(os.Args[2]))
	}
	leak.Main(m)
}

func child(behaviour string) int {
	switch behaviour {
	case "echo":
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(lines.Text())
		}
		return 0
	case "fail":
		fmt.Println(`"one"`)
		fmt.Fprint(os.Stderr, "no\nluck", strings.Repeat(".", 5000))
		return 3
	case "status":
		return 3
	case "garbage":
		fmt.Println(`"one" and two`)
		return 0
	}
	time.Sleep(time.Hour) // stuck
	return 0
}

// start starts a child and collects its lines, which may be read when it is gone.
func start(t *testing.T, behaviour string) (*Process, *[]string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	lines := new([]string)
	p, err := Start("kid", []string{self, asChild, behaviour},
		func(s string) { *lines = append(*lines, s) })
	require.NoError(t, err)
	return p, lines
}

func TestLines(t *testing.T) {
	p, lines := start(t, "echo")
	require.NoError(t, p.Send("a"))
	require.NoError(t, p.Send("b"))
	require.ErrorContains(t, p.Send(func() {}), "kid: json: unsupported type")
	require.NoError(t, p.Close(time.Minute))
	require.NoError(t, p.Err())
	require.Equal(t, []string{"a", "b"}, *lines)
	require.EqualError(t, p.Send("c"), "kid: its process has ended")
}

func TestHowItEnded(t *testing.T) {
	p, lines := start(t, "fail")
	require.ErrorContains(t, p.Err(), "kid: its process has ended: no\nluck...")
	require.Less(t, len(p.Err().Error()), 2100)
	require.Equal(t, []string{"one"}, *lines)
	require.Equal(t, p.Err(), p.Ended())

	p, _ = start(t, "status")
	require.EqualError(t, p.Err(), "kid: its process has ended: exit status 3")

	p, lines = start(t, "garbage")
	require.ErrorContains(t, p.Err(), "kid: its process has ended: its output is no JSON: ")
	require.ErrorAs(t, p.Err(), new(*json.SyntaxError))
	require.Equal(t, []string{"one"}, *lines)

	p, _ = start(t, "stuck")
	p.Kill()
	p.Kill() // changes nothing
	require.EqualError(t, p.Err(), "kid: its process has ended: signal: killed")

	_, err := Start("kid", []string{"/does/not/exist"}, func(string) {})
	require.ErrorContains(t, err, "kid: ")
}

func TestCloseKillsWhatStays(t *testing.T) {
	p, _ := start(t, "stuck")
	require.EqualError(t, p.Close(time.Millisecond), "kid: did not end within 1ms and was killed")
}

func TestPause(t *testing.T) {
	if !Pausable {
		t.Skip("no SIGSTOP")
	}
	p, lines := start(t, "echo")
	require.NoError(t, p.Pause())
	require.NoError(t, p.Send("a"))
	require.NoError(t, p.Resume())
	require.NoError(t, p.Close(time.Minute))
	require.Equal(t, []string{"a"}, *lines)
}

package replica

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// The files under testdata are transcripts: commands, and below each the resulting messages and
// visible claims. They document the protocol. A change of the protocol is a diff there. Review it,
// and write it with
//
//	go test ./registry/internal/replica -run TestTranscripts -rewrite
//
// The commands:
//
//	nodes a b c [chunk=400] [tombstones=8]   starts nodes, which know each other
//	start d                                  starts one more
//	restart a [incarnation=1]                restarts a node, by default with a higher incarnation
//	register a x y, release a x, update a x  changes names on a node
//	deliver                                  delivers until nothing is under way
//	pass 500ms                               lets time pass, and delivers
//	lose a b, mend                           drops messages from a to b silently; stops dropping
//	split a b, heal a b                      cuts a link, which both nodes detect; restores it
//	show                                     prints the holders as each node sees them
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		s := &scribe{cluster: newCluster(t)}
		s.began = s.at.Mono
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			if err := s.run(d); err != nil {
				d.Fatalf(t, "%v", err)
			}
			if s.out.Len() == 0 {
				return "ok"
			}
			return s.out.String()
		})
	})
}

// A scribe runs the commands of a transcript.
type scribe struct {
	*cluster
	began time.Duration
	out   strings.Builder
}

func (s *scribe) run(d *datadriven.TestData) error {
	var words []string
	cfg, inc := Config{}, uint64(0)
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "chunk":
			a.Scan(s.t, 0, &cfg.ChunkBytes)
		case "tombstones":
			a.Scan(s.t, 0, &cfg.Tombstones)
		case "incarnation":
			a.Scan(s.t, 0, &inc)
		default:
			words = append(words, a.Key)
		}
	}
	switch d.Cmd {
	case "nodes", "start":
		for _, n := range words {
			s.start(n, uint64(len(s.order)+1), cfg)
		}
	case "restart":
		if inc == 0 {
			inc = s.nodes[words[0]].own.inc + 10
		}
		s.start(words[0], inc, cfg)
	case "register", "release", "update":
		s.change(d.Cmd, s.nodes[words[0]], words[1:])
	case "deliver":
		s.deliver()
	case "pass":
		return s.pass(words[0])
	case "lose":
		s.cut[[2]string{words[0], words[1]}] = true
	case "mend":
		clear(s.cut)
	case "split":
		s.split(words[0], words[1])
		s.note()
	case "heal":
		s.heal(words[0], words[1])
		s.note()
	case "show":
		s.show()
	default:
		return fmt.Errorf("unknown command %q", d.Cmd)
	}
	return nil
}

func (s *scribe) change(how string, p *Partition, names []string) {
	for _, name := range names {
		switch how {
		case "register":
			if _, taken := p.Register(s.at, name, nil); taken != nil {
				fmt.Fprintf(&s.out, "%s is taken by %s\n", name, taken.Node)
			}
		case "release":
			p.Unregister(s.at, name, WhyReleased)
		case "update":
			p.Update(s.at, name, []byte("new"))
		}
	}
}

func (s *scribe) pass(d string) error {
	length, err := time.ParseDuration(d)
	if err != nil {
		return err
	}
	for end := s.at.Mono + length; s.at.Mono < end; {
		s.at.Mono += 50 * time.Millisecond
		s.at.Wall += int64(50 * time.Millisecond)
		for _, n := range s.order {
			s.nodes[n].Tick(s.at)
		}
		s.deliver()
	}
	return nil
}

// deliver delivers what nodes send, in the order of their names, until nothing is under way.
func (s *scribe) deliver() {
	for busy := true; busy; {
		busy = false
		for _, n := range s.order {
			for _, u := range s.nodes[n].Flush(1200, 0) {
				busy = true
				for _, to := range s.order {
					if to != n {
						s.send(n, to, u)
					}
				}
			}
			busy = s.note(n) || busy
		}
	}
}

// note prints the events of nodes, all of them by default, and sends their messages. It reports
// whether there were any.
func (s *scribe) note(nodes ...string) (some bool) {
	if len(nodes) == 0 {
		nodes = s.order
	}
	for _, n := range nodes {
		out := s.nodes[n].Take()
		for _, e := range out.Events {
			s.print("%s: %s", n, describe(e))
		}
		for _, e := range out.Send {
			some = true
			s.send(n, e.To, e.Message)
		}
	}
	return some
}

func (s *scribe) send(from, to string, m Message) {
	lost := ""
	if s.cut[[2]string{from, to}] {
		lost = " (lost)"
	}
	s.print("%s → %s%s: %s", from, to, lost, text(m))
	if lost == "" {
		s.nodes[to].Receive(s.at, from, m)
	}
}

func (s *scribe) print(format string, args ...any) {
	at := (s.at.Mono - s.began).Seconds()
	fmt.Fprintf(&s.out, "%.2fs "+format+"\n", append([]any{at}, args...)...)
}

func (s *scribe) show() {
	for _, n := range s.order {
		p := s.nodes[n]
		var held []string
		for _, name := range s.names() {
			if r := p.Lookup(name); r != nil {
				held = append(held, name+"@"+r.Node)
			}
		}
		state := ""
		if behind, who := p.Behind(); behind > 0 {
			state = " (behind " + who + ")"
		}
		fmt.Fprintf(&s.out, "%s%s: %s\n", n, state, strings.Join(held, " "))
	}
}

// names returns all names that any node knows.
func (s *scribe) names() (names []string) {
	for _, p := range s.nodes {
		for _, t := range p.tables {
			for _, r := range t.log {
				names = append(names, r.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func describe(e Event) string {
	kinds := map[EventType]string{
		Registered: "registered", Updated: "updated", Unregistered: "unregistered",
		Conflict: "conflict", Disagreement: "disagreement", ClockAhead: "clock ahead",
	}
	text := fmt.Sprintf("%s %s", kinds[e.Type], e.Name)
	if e.Record != nil {
		text += " of " + e.Record.Node
	}
	if e.Other != nil && e.Type == Conflict {
		text += " against " + e.Other.Node
	}
	if e.Why != 0 {
		text += ", " + e.Why.String()
	}
	return text
}

// text returns a message in a line: an origin's incarnation follows a /, the numbers of changes
// follow a #, + is a claim and - its end. A ? marks an origin for which the sender can't answer.
func text(m Message) string {
	switch m := m.(type) {
	case *Update:
		return fmt.Sprintf("update of %s/%d, #%d to #%d:%s",
			m.Origin, m.Incarnation, m.After, m.UpTo, list(m.Records))
	case *Summary:
		return "summary"
	case *Vector:
		words := []string{"vector:"}
		if m.Reply {
			words[0] = "vector, asks for one:"
		}
		for _, e := range m.Entries {
			doubt := "?"
			if e.Visible {
				doubt = ""
			}
			words = append(words, fmt.Sprintf("%s/%d#%d%s", e.Origin, e.Incarnation, e.Seq, doubt))
		}
		return strings.Join(words, " ")
	case *Pull:
		return fmt.Sprintf("pull of %s after #%d, at least #%d", m.Origin, m.After, m.AtLeast)
	case *Chunk:
		return fmt.Sprintf("chunk of %s, #%d to #%d as of #%d, tombstones above #%d:%s",
			m.Origin, m.After, m.UpTo, m.AsOf, m.Floor, list(m.Records))
	case *Check:
		return fmt.Sprintf("check of %s after #%d, %d blocks", m.Origin, m.After, len(m.Blocks))
	case *Standing:
		return fmt.Sprintf("standing of %s, #%d to #%d as of #%d, %d spans differ",
			m.Origin, m.After, m.UpTo, m.AsOf, len(m.Spans))
	}
	return "unknown"
}

func list(records []*Record) string {
	var s strings.Builder
	for _, r := range records {
		sign := "+"
		if r.Dead {
			sign = "-"
		}
		fmt.Fprintf(&s, " %s%s#%d", sign, r.Name, r.Seq)
	}
	return s.String()
}

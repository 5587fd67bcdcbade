package registry

import "container/list"

// A gate queues the callers that found no room, first come, first served. Its part's mu guards it.
type gate struct {
	waiting list.List // of *ticket
	granted int       // tickets whose turn has come, and whose callers have not taken their room yet
}

// A ticket is one waiting caller's place in the queue.
type ticket struct {
	turn  chan struct{} // closed when its turn has come
	place *list.Element // nil once its turn has come
}

// full reports whether a newcomer must wait at a queue with this much room.
func (g *gate) full(room int) bool { return g.waiting.Len() > 0 || g.granted >= room }

// enter adds a caller to the queue.
func (g *gate) enter() *ticket {
	t := &ticket{turn: make(chan struct{})}
	t.place = g.waiting.PushBack(t)
	return t
}

// open gives their turn to as many callers as there is room for.
func (g *gate) open(room int) {
	for g.granted < room && g.waiting.Len() > 0 {
		t, ok := g.waiting.Remove(g.waiting.Front()).(*ticket)
		if !ok {
			panic("registry: not a ticket") // enter puts nothing else in
		}
		t.place = nil
		g.granted++
		close(t.turn)
	}
}

// leave takes a ticket back, whether or not its turn has come. Before the caller unlocks, it must
// use the room that the ticket stood for, or call open.
func (g *gate) leave(t *ticket) {
	if t.place != nil {
		g.waiting.Remove(t.place)
		t.place = nil
		return
	}
	g.granted--
}

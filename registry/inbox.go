package registry

import (
	"sync"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// Bounds of an inbox. Messages past them are dropped and counted; the protocol repairs that as it
// repairs a loss on the network.
const (
	inboxMessages = 1024
	inboxBytes    = 4 << 20
)

// An inbox queues messages and news for a partition's goroutine. The network's goroutines put them
// in and never wait.
type inbox struct {
	signal chan struct{} // has room for one: there is something to take

	mu    sync.Mutex // guards the fields below; a leaf
	items []item
	bytes int
	nodes map[string]int // by node: the index in items of the latest news of it
	stats inboxStats
}

// An item is a message, news of a node, or a question.
type item struct {
	node    string
	message replica.Message // nil in the other cases
	bytes   int

	news        nodeNews
	incarnation uint64

	synced chan struct{} // to be closed when the partition has caught up
}

type nodeNews uint8

const (
	noNews nodeNews = iota
	nodeUp
	nodeDown
	nodeLeft
	clockAhead // of this node: own claims need new timestamps
)

type inboxStats struct {
	received, receivedBytes, dropped uint64
	agreed                           uint64 // summaries that were no news
	high                             int
}

func newInbox() inbox {
	return inbox{signal: make(chan struct{}, 1), nodes: make(map[string]int)}
}

// message adds a message if there is room.
func (b *inbox) message(from string, m replica.Message, bytes int) {
	b.mu.Lock()
	b.stats.received++
	b.stats.receivedBytes += uint64(bytes) //nolint:gosec // a length
	if len(b.items) >= inboxMessages || b.bytes+bytes > inboxBytes {
		b.stats.dropped++
		b.mu.Unlock()
		return
	}
	b.bytes += bytes
	b.put(item{node: from, message: m, bytes: bytes})
}

// agree counts a summary that needs no handling.
func (b *inbox) agree(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.received++
	b.stats.agreed++
	b.stats.receivedBytes += uint64(bytes) //nolint:gosec // a length
}

// node adds news of a node. They are never dropped, and stay few, since later ones replace earlier
// ones.
func (b *inbox) node(name string, news nodeNews, incarnation uint64) {
	it := item{node: name, news: news, incarnation: incarnation}
	b.mu.Lock()
	if i, ok := b.nodes[name]; ok {
		b.items[i] = it
		b.mu.Unlock()
		return
	}
	b.nodes[name] = len(b.items)
	b.put(it)
}

// whenSynced adds a request to close done once the partition has handled the items before it, and
// has caught up.
func (b *inbox) whenSynced(done chan struct{}) {
	b.mu.Lock()
	b.put(item{synced: done})
}

// put appends an item and unlocks.
func (b *inbox) put(it item) {
	b.items = append(b.items, it)
	b.stats.high = max(b.stats.high, len(b.items))
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// take removes and returns all items.
func (b *inbox) take() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items, b.bytes = nil, 0
	clear(b.nodes)
	return items
}

// len returns the number of items, and the counts.
func (b *inbox) len() (int, inboxStats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items), b.stats
}

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/snowfence/snowfence/cache/cluster/internal/peer"
	"github.com/snowfence/snowfence/cache/cluster/internal/quarantine"
	"github.com/snowfence/snowfence/registry"
	"github.com/snowfence/snowfence/registry/group"
)

// protocolVersion is the version of the protocol between nodes, with memberInfo.
const protocolVersion = 3

// A memberInfo is the metadata of a node's membership in the cache's group, as JSON.
type memberInfo struct {
	Protocol    int    `json:"v"`
	URL         string `json:"url"`
	Incarnation string `json:"run"`
	Codec       string `json:"codec"`
	Ownership   string `json:"ownership"`
	Slots       int    `json:"slots,omitempty"` // only by slot
}

func (c *Cache[V]) ownInfo() memberInfo {
	own := memberInfo{
		Protocol: protocolVersion, URL: c.o.URL, Incarnation: strconv.FormatUint(c.incarnation, 16),
		Codec: c.o.Codec.Name(), Ownership: c.o.Ownership.String(),
	}
	if c.o.Ownership == BySlot {
		own.Slots = c.o.Slots
	}
	return own
}

// differs says in which setting two nodes differ that must be the same on both. It is empty if they
// can work together.
func (own memberInfo) differs(other memberInfo) string {
	switch {
	case own.Protocol != other.Protocol:
		return fmt.Sprintf("protocol version is %d there, %d here", other.Protocol, own.Protocol)
	case own.Codec != other.Codec:
		return fmt.Sprintf("codec is %q there, %q here", other.Codec, own.Codec)
	case own.Ownership != other.Ownership:
		return fmt.Sprintf("ownership is by %s there, by %s here", other.Ownership, own.Ownership)
	case own.Slots != other.Slots:
		return fmt.Sprintf("slots are %d there, %d here", other.Slots, own.Slots)
	}
	return ""
}

// members holds the other members of the cache, as this node sees them.
type members struct {
	seen atomic.Pointer[map[string]*member] // by node name; replaced, never changed

	mu         sync.Mutex // guards membership
	membership *group.Membership
}

// all returns the members by node name.
func (m *members) all() map[string]*member {
	if seen := m.seen.Load(); seen != nil {
		return *seen
	}
	return nil
}

// address returns where a node is asked. It returns false if the node is no member or differs.
func (m *members) address(node string) (peer.Address, bool) {
	if other := m.all()[node]; other != nil && other.differs == "" {
		return other.address, true
	}
	return peer.Address{}, false
}

// group returns the name of the group of nodes that run this cache.
func (c *Cache[V]) group() string { return "cache/" + c.o.Name }

// join makes this node a member, and follows the members from then on.
func (c *Cache[V]) join() error {
	groups, err := group.Open(c.life, c.o.Registry)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	meta, err := json.Marshal(c.ownInfo())
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if len(groups.Local(c.group())) > 0 {
		return c.nameTaken()
	}
	watcher := groups.Watch(c.life, c.group())
	c.setMembers(groups.Members(c.group()))
	membership, err := groups.Join(c.life, c.group(), meta)
	if err != nil {
		watcher.Close()
		return fmt.Errorf("cluster: %w", err)
	}
	c.members.mu.Lock()
	c.members.membership = membership
	c.members.mu.Unlock()
	if len(groups.Local(c.group())) > 1 { // another Cache was made at the same moment
		watcher.Close()
		return c.nameTaken()
	}
	c.running.Go(func() {
		defer watcher.Close()
		for {
			c.setMembers(groups.Members(c.group()))
			event, err := watcher.Next(c.life)
			if err != nil {
				return
			}
			c.noteLeft(event)
		}
	})
	return nil
}

// nameTaken returns the error of New for a name that another open cache over this registry has. The
// other nodes would ask only the newer one of the two, and take its values for those of both.
func (c *Cache[V]) nameTaken() error {
	return &OptionError{
		"Name", strconv.Quote(c.o.Name),
		"a name of its own, since another cache over this registry has that one and is open",
	}
}

// leave ends this node's membership.
func (c *Cache[V]) leave() {
	c.members.mu.Lock()
	defer c.members.mu.Unlock()
	if c.members.membership != nil {
		_ = c.members.membership.Leave() // it fails only if it had ended already
	}
}

// setMembers replaces the members. A member whose metadata has changed, because its node was
// restarted, is a new one. One goroutine at a time calls it: first the caller of join, then the one
// that join starts.
func (c *Cache[V]) setMembers(list []group.Member) {
	before, now := c.members.all(), make(map[string]*member)
	own := c.ownInfo()
	nodes := []string{c.self}
	incarnations := make(map[string]uint64)
	for _, m := range newest(list) {
		if m.Node == c.self {
			continue
		}
		other := before[m.Node]
		if other == nil || string(m.Meta) != other.meta {
			other = c.newMember(own, m)
		}
		now[m.Node] = other
		if other.differs == "" {
			nodes = append(nodes, m.Node)
			incarnations[m.Node] = other.address.Incarnation
		}
	}
	if maps.Equal(before, now) && before != nil {
		return
	}
	slices.Sort(nodes)
	c.owners.SetMembers(nodes)
	c.deletes.See(incarnations)
	c.quarantine.SetMembers(incarnationsOf(now))
	c.members.seen.Store(&now) // last: a member in Stats has its share of the keys
	for node, other := range before {
		if now[node] != other {
			other.stop()
		}
		if now[node] == nil {
			c.log.Info("a node of this cache has gone", "peer", node)
		}
	}
	for node, other := range now {
		if before[node] != other {
			c.startExchange(other)
		}
	}
	c.client.Forget(func(a peer.Address) bool {
		other := now[a.Node]
		return other != nil && other.address == a
	})
}

// noteLeft notes that a member has left for good. A member whose node is down may come back.
func (c *Cache[V]) noteLeft(e group.Event) {
	if e.Kind != group.Left || e.Reason == registry.ReasonNodeDown {
		return
	}
	if _, incarnation, err := parseInfo(e.Member.Meta); err == nil {
		c.deletes.Left(incarnation)
	}
}

// parseInfo decodes the metadata of a membership.
func parseInfo(meta []byte) (info memberInfo, incarnation uint64, err error) {
	if err = json.Unmarshal(meta, &info); err == nil {
		incarnation, err = strconv.ParseUint(info.Incarnation, 16, 64)
	}
	return info, incarnation, err
}

// incarnationsOf returns the incarnations of the members that are asked.
func incarnationsOf(members map[string]*member) (list []quarantine.Incarnation) {
	for _, m := range members {
		if m.differs == "" {
			list = append(list, incarnationOf(m.address))
		}
	}
	return list
}

// newest returns one member for each node, the newest one. Of a node that closed its cache and made
// another one, both may be seen for a moment.
func newest(list []group.Member) map[string]group.Member {
	last := make(map[string]group.Member, len(list))
	for _, m := range list {
		if other, ok := last[m.Node]; !ok || other.ID < m.ID {
			last[m.Node] = m
		}
	}
	return last
}

func (c *Cache[V]) newMember(own memberInfo, m group.Member) *member {
	other := &member{
		meta: string(m.Meta), address: peer.Address{Node: m.Node}, wake: make(chan struct{}, 1),
		trialTurns: make(chan struct{}, maxAskedTrials), changed: make(chan struct{}),
	}
	theirs, incarnation, err := parseInfo(m.Meta)
	other.address.URL, other.address.Incarnation = theirs.URL, incarnation
	if err != nil {
		other.differs = fmt.Sprintf("its metadata can't be read: %v", err)
	} else {
		other.differs = own.differs(theirs)
	}
	if other.differs != "" {
		c.log.Warn("a node of this cache is configured otherwise, and is not asked", "peer", m.Node,
			"differs", other.differs)
	}
	return other
}

// startExchange starts the exchange of deletes with a new member, unless it differs.
func (c *Cache[V]) startExchange(other *member) {
	ctx, stop := context.WithCancel(c.life)
	other.stop = stop
	if other.differs == "" {
		c.log.Info("a node of this cache has come", "peer", other.address.Node, "url", other.address.URL)
		c.running.Go(func() { c.exchange(ctx, other) })
	}
}

package group

import (
	"slices"
	"strings"
	"sync"

	"github.com/snowfence/snowfence/registry/internal/replica"
)

// A roster holds the members of one group as this node sees them. It is replaced, never changed.
type roster struct {
	claims  []*claim // in the order of node names; at least one
	members func() []Member
}

// A claim is one node's list. It is decoded when it is first read.
type claim struct {
	node    string
	members func() []Member
}

// claimOf returns the claim in a record. It calls unreadable with a list that can't be decoded.
func claimOf(r *replica.Record, unreadable func(*replica.Record, error)) *claim {
	return &claim{node: r.Node, members: sync.OnceValue(func() []Member {
		members, err := parseList(r.Node, r.Meta)
		if err != nil {
			unreadable(r, err)
		}
		return members
	})}
}

// of returns a node's claim, nil for none.
func (o *roster) of(node string) *claim {
	if o == nil {
		return nil
	}
	if i, ok := o.find(node); ok {
		return o.claims[i]
	}
	return nil
}

func (o *roster) find(node string) (int, bool) {
	return slices.BinarySearchFunc(o.claims, node,
		func(c *claim, node string) int { return strings.Compare(c.node, node) })
}

// with returns a roster in which c is its node's claim.
func (o *roster) with(c *claim) *roster {
	if o == nil {
		return newRoster([]*claim{c})
	}
	claims := slices.Clone(o.claims)
	if i, ok := o.find(c.node); ok {
		claims[i] = c
	} else {
		claims = slices.Insert(claims, i, c)
	}
	return newRoster(claims)
}

// without returns a roster without a node's claim, nil if none is left.
func (o *roster) without(node string) *roster {
	if o == nil {
		return nil
	}
	claims := slices.DeleteFunc(slices.Clone(o.claims), func(c *claim) bool { return c.node == node })
	if len(claims) == 0 {
		return nil
	}
	return newRoster(claims)
}

func newRoster(claims []*claim) *roster {
	o := &roster{claims: claims, members: claims[0].members}
	if len(claims) > 1 {
		o.members = sync.OnceValue(func() []Member {
			var all []Member
			for _, c := range claims {
				all = append(all, c.members()...)
			}
			return slices.Clip(all)
		})
	}
	return o
}

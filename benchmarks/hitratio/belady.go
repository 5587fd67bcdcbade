package main

import "container/heap"

// belady counts the hits of a cache that knows the future: it evicts the key
// whose next request is furthest away (Belady 1966), which may be the one that
// just came.
func belady(ids []uint32, capacity int) int {
	const never = int(^uint(0) >> 1)
	next := make([]int, len(ids)) // when the key of each request comes again
	last := make(map[uint32]int)
	for i := len(ids) - 1; i >= 0; i-- {
		if at, ok := last[ids[i]]; ok {
			next[i] = at
		} else {
			next[i] = never
		}
		last[ids[i]] = i
	}
	// The heap has what was evicted or asked for again as well, until it comes to
	// the top; due tells which is current.
	due := make(map[uint32]int)
	var furthest futures
	hits := 0
	for i, id := range ids {
		if _, ok := due[id]; ok {
			hits++
		}
		due[id] = next[i]
		heap.Push(&furthest, future{next[i], id})
		for len(due) > capacity {
			f := heap.Pop(&furthest).(future) //nolint:errcheck,forcetypeassert // only those are pushed
			if at, ok := due[f.id]; ok && at == f.at {
				delete(due, f.id)
			}
		}
	}
	return hits
}

// A future is when a key comes again.
type future struct {
	at int
	id uint32
}

// futures is a heap with the furthest on top.
type futures []future //nolint:recvcheck // as heap.Interface has it

func (f futures) Len() int           { return len(f) }
func (f futures) Less(i, j int) bool { return f[i].at > f[j].at }
func (f futures) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }

//nolint:errcheck,forcetypeassert // see belady
func (f *futures) Push(x any) { *f = append(*f, x.(future)) }

func (f *futures) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	*f = (*f)[:last]
	return x
}

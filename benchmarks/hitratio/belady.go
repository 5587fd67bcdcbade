package main

import "container/heap"

// belady returns the number of hits of a cache that knows the future: it evicts the key whose next
// request is furthest away (Belady 1966), which may be the one just requested.
func belady(ids []uint32, capacity int) int {
	const never = int(^uint(0) >> 1)
	next := make([]int, len(ids)) // the next request of the key of each request
	last := make(map[uint32]int)
	for i := len(ids) - 1; i >= 0; i-- {
		if at, ok := last[ids[i]]; ok {
			next[i] = at
		} else {
			next[i] = never
		}
		last[ids[i]] = i
	}
	// Keys that were evicted or requested again stay in the heap until they reach its top; due has
	// the current ones.
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

// A future is the next request of a key.
type future struct {
	at int
	id uint32
}

// futures is a heap with the furthest request on top.
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

package deletes

// A Vector says which deletes were applied on a node. The zero Vector has none. It is not changed once made.
type Vector struct{ run uint64 }

// Covers reports whether the delete was applied.
func (v Vector) Covers(ID) bool { return false }

// CoversAll reports whether all that was applied for w was applied for v.
func (v Vector) CoversAll(Vector) bool { return false }

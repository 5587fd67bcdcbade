package deletes

// A Log is one node's log of deletes. Its methods may be called at the same time.
type Log struct{ o Options }

// New makes a Log. It panics if Options lack what is needed.
func New(o Options) *Log { return &Log{o: o} }

// Delete makes a delete of key, applies it here, and returns its ID.
func (l *Log) Delete(string) ID { return ID{} }

// Clear makes a delete of all keys, applies it here, and returns its ID.
func (l *Log) Clear() ID { return ID{} }

// After returns what whoever answers for key must have applied, for Require there; nil if that is nothing. It must not be changed.
func (l *Log) After(string) []byte { return nil }

// Require applies what After returned on another node, where it has not been yet.
func (l *Log) Require(string, []byte) error { return nil }

// Vector returns what has been applied here.
func (l *Log) Vector() Vector { return Vector{} }

// Message returns the Vector and what a node with the Vector known lacks.
func (l *Log) Message(Vector, int) (message []byte, more bool) { return nil, false }

// Merge applies a Message of another node, and returns its Vector.
func (l *Log) Merge([]byte) (Vector, error) { return Vector{}, nil }

// Expire forgets what is older than Options.Retain.
func (l *Log) Expire() {}

// Stats returns the Log's counters.
func (l *Log) Stats() Stats { return Stats{} }

// Stats are the counters of a Log.
type Stats struct {
	Entries int    // kept now
	Runs    int    // known now
	Made    uint64 // here
	Applied uint64 // of other runs
	Resets  uint64
}

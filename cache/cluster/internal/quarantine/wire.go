package quarantine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A wireRecord is a record in a message, which is a sequence of them as JSON.
type wireRecord struct {
	Key   []byte        `json:"k"`
	Age   time.Duration `json:"a"` // of the last death
	Marks []wireMark    `json:"m"`
}

type wireMark struct {
	Node  string `json:"n"`
	ID    uint64 `json:"i"`
	Life  uint64 `json:"l"`
	Trial uint64 `json:"t"`
}

// ErrMessage says that a message can't be read.
var ErrMessage = errors.New("quarantine: a message that can't be read")

// Message returns the records that have changed since a number, oldest first, in at most limit
// bytes, but at least one record. upTo is the number up to which the receiver knows all records
// when it has merged them.
func (b *Book) Message(since uint64, limit int) (message []byte, upTo uint64) {
	if b.Empty() && since == 0 {
		return nil, 0
	}
	b.update(func() {
		upTo = b.seq
		var list []*record
		for _, r := range b.records {
			if r.seq > since {
				list = append(list, r)
			}
		}
		slices.SortFunc(list, func(x, y *record) int { return cmp.Compare(x.seq, y.seq) })
		for i, r := range list {
			one := r.encode(b.now())
			if i > 0 && len(message)+len(one) > limit {
				upTo = list[i-1].seq
				return
			}
			message = append(message, one...)
		}
	})
	return message, upTo
}

// Record returns a message with the record of key; nil if there is none.
func (b *Book) Record(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.records[key]; r != nil {
		return r.encode(b.now())
	}
	return nil
}

func (r *record) encode(now time.Time) []byte {
	t := wireRecord{Key: []byte(r.key), Age: max(0, now.Sub(r.died))}
	for i, m := range r.marks {
		t.Marks = append(t.Marks, wireMark{i.Node, i.ID, m.life, m.trial})
	}
	one, _ := json.Marshal(t) // no type in it can fail
	return one
}

// Merge merges a message of another node's Book, and reports whether that has changed a mark of
// this node's own incarnation, which is news for the others. If the message can't be read the error
// is ErrMessage, and nothing has changed.
func (b *Book) Merge(message []byte) (own bool, err error) {
	var list []wireRecord
	for d := json.NewDecoder(bytes.NewReader(message)); ; {
		var t wireRecord
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return false, fmt.Errorf("%w: %w", ErrMessage, err)
		}
		if len(t.Key) <= b.o.MaxKey && len(t.Marks) > 0 {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return false, nil
	}
	b.update(func() {
		for _, t := range list {
			own = b.merge(t) || own
		}
	})
	return own, nil
}

func (b *Book) merge(theirs wireRecord) (own bool) {
	r := b.record(string(theirs.Key))
	died := b.now().Add(-max(0, theirs.Age)) // before the message came
	if r.died.After(died) {
		died = r.died
	}
	for _, t := range theirs.Marks {
		i, m := Incarnation{t.Node, t.ID}, mark{t.Life, t.Trial}
		joined := r.marks[i].join(m)
		if i == b.o.Self { // this incarnation lives, and knows whether it tries the key
			state := uint64(noTrial)
			if r.trying {
				state = trialUnderWay
			}
			joined = joined.withTrial(state)
			joined.life += joined.life % 2
			own = joined != m
		}
		b.set(r, i, joined)
	}
	r.died = died
	return own
}

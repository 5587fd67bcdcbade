package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/cache"
)

type opKind int

const (
	opGet opKind = iota
	opSet
	opDelete
	opFetch
)

type opInput struct {
	kind  opKind
	key   int
	value int // of opSet
}

type opOutput struct {
	value int // 0: none
	err   bool
	found bool // of opDelete
}

// storable reports whether a load stores v: odd values are not stored.
func storable(v int) bool { return v%2 == 0 }

// registerModel models one key: a register that may be empty (0). A Fetch returns its value. If it
// is empty, a Fetch loads a value, which may not be stored: callers of a superseded load also get
// its value.
var registerModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[int][]porcupine.Operation)
		for _, op := range history {
			key := op.Input.(opInput).key //nolint:errcheck,forcetypeassert // all are
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{0} },
	Step: func(state, input, output any) []any {
		now := state.(int)       //nolint:errcheck,forcetypeassert // all are
		in := input.(opInput)    //nolint:errcheck,forcetypeassert // all are
		out := output.(opOutput) //nolint:errcheck,forcetypeassert // all are
		if in.kind == opSet {
			return []any{in.value}
		}
		if in.kind == opDelete {
			if out.found != (now != 0) {
				return nil
			}
			return []any{0}
		}
		switch {
		case !out.err && out.value == now: // also a Get that found nothing
			return []any{now}
		case in.kind == opGet || now != 0:
			return nil
		case out.err || !storable(out.value):
			return []any{0}
		default:
			return []any{out.value, 0}
		}
	},
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v → %+v", input, output)
	},
}

// Concurrent histories are linearizable, key by key: each operation seems to happen at one time
// between its call and its return.
func TestLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	histories := 30
	if testing.Short() || raceEnabled {
		histories = 10
	}
	for h := range histories {
		history := recordHistory(t, seed+uint64(h))
		result := porcupine.CheckOperationsTimeout(registerModel.ToModel(), history, 20*time.Second)
		require.Equal(t, porcupine.Ok, result, "history %d", h)
	}
}

// The check detects a history with a stale read.
func TestLinearizableCheckBites(t *testing.T) {
	op := func(call int64, in opInput, out opOutput) porcupine.Operation {
		return porcupine.Operation{Input: in, Call: call, Output: out, Return: call + 1}
	}
	set := op(1, opInput{kind: opSet, value: 2}, opOutput{})
	del := op(3, opInput{kind: opDelete}, opOutput{found: true})
	check := func(ops ...porcupine.Operation) bool {
		return porcupine.CheckOperations(registerModel.ToModel(), ops)
	}
	require.True(t, check(set, del, op(5, opInput{kind: opGet}, opOutput{})))
	require.False(t, check(set, del, op(5, opInput{kind: opGet}, opOutput{value: 2})))
	require.False(t, check(set, op(5, opInput{kind: opFetch}, opOutput{value: 4})))
	require.False(t, check(op(1, opInput{kind: opFetch}, opOutput{value: 3}),
		op(5, opInput{kind: opGet}, opOutput{value: 3})))
}

func recordHistory(t *testing.T, seed uint64) []porcupine.Operation {
	t.Helper()
	const clients, ops, keys = 4, 150, 3
	c := newCache(t, cache.Options[int, int]{})
	var clock, values atomic.Int64
	unique := func(stored bool) int {
		v := 2 * int(values.Add(1))
		if !stored {
			v++
		}
		return v
	}
	histories := make([][]porcupine.Operation, clients)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(client)))
			for range ops {
				in := opInput{kind: opKind(r.IntN(4)), key: r.IntN(keys)}
				how := r.IntN(4)
				yields := r.IntN(3)
				if in.kind == opSet {
					in.value = unique(true)
				}
				var out opOutput
				call := clock.Add(1)
				switch in.kind {
				case opGet:
					out.value, _ = c.Get(in.key)
				case opSet:
					c.Set(in.key, in.value)
				case opDelete:
					out.found = c.Delete(in.key)
				case opFetch:
					v, err := c.Fetch(t.Context(), in.key, func(ctx context.Context, _ int) (int, error) {
						v := unique(how > 1)
						for range yields {
							runtime.Gosched()
						}
						switch how {
						case 0:
							return 0, errLoad
						case 1:
							cache.StoreFor(ctx, 0)
						}
						return v, nil
					})
					out = opOutput{value: v, err: err != nil}
				}
				histories[client] = append(histories[client], porcupine.Operation{
					ClientId: client, Input: in, Call: call, Output: out, Return: clock.Add(1),
				})
			}
		})
	}
	wg.Wait()
	var all []porcupine.Operation
	for _, h := range histories {
		all = append(all, h...)
	}
	return all
}

package registry

import (
	"cmp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Tokens, compared byte by byte, have the order of their claims.
func TestTokensAreInOrder(t *testing.T) {
	claim := func(rt *rapid.T, what string) Claim {
		nanos := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2), rapid.Int64Range(1<<60, 1<<60+2))
		logical := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 11))
		node := rapid.OneOf(rapid.StringN(1, 5, 10), rapid.SampledFrom([]string{"a", "a1", "b"}))
		return Claim{
			Name: "x", Node: node.Draw(rt, what+" node"),
			Time: Timestamp{nanos.Draw(rt, what+" nanos"), logical.Draw(rt, what+" logical")},
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		a, b := claim(rt, "a"), claim(rt, "b")
		want := cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Node, b.Node))
		require.Equal(rt, want, strings.Compare(a.Token(), b.Token()), "%s %s", a.Token(), b.Token())
	})
	require.Equal(t, "80000000000000ff0000000b-node-1",
		Claim{Node: "node-1", Time: Timestamp{Nanos: 255, Logical: 11}}.Token())
}

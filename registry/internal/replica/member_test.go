package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestANodeThatIsDownIsHiddenAndComesBack(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	o.hear("b", update(0, 3, claim("x", 1), claim("y", 2), claim("z", 3)))
	o.NodeDown(o.at, "b", false)
	out := o.Take()
	require.Equal(t, []EventType{Unregistered, Unregistered, Unregistered}, types(out.Events),
		"one for each name")
	for _, e := range out.Events {
		require.Equal(t, WhyNodeDown, e.Why)
	}
	require.Zero(t, o.Len())
	require.Nil(t, o.Lookup("x"))
	require.Empty(t, o.Claims("x"))
	o.NodeDown(o.at, "b", false)
	require.Empty(t, o.Take().Events, "notified twice")

	o.hear("c", update(3, 4, tombstone("x", 4)))
	require.EqualValues(t, 3, o.mark(), "no claims are accepted for a node that is down")

	o.pass(time.Second)
	o.NodeUp(o.at, "b", 1)
	out = o.Take()
	require.Empty(t, out.Events, "hidden until a node speaks for it")
	require.Len(t, sent[*Vector](out), 1)
	require.False(t, o.Synced())
	out = o.hear("b", stands(4))
	require.Empty(t, out.Events, "and until the replica has caught up")
	out = o.pass(200 * time.Millisecond) // it might have been on its way
	require.EqualValues(t, 3, pulls(out)["b"].After, "existing claims are kept")
	out = o.hear("b", chunk(3, 4, 4, 0, tombstone("x", 4)))
	require.Equal(t, []EventType{Registered, Registered}, types(out.Events), "x was never shown again")
	require.True(t, o.Synced())
	require.Equal(t, 2, o.Len())
}

func TestAnotherNodeMaySpeakForOneThatCameUp(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	o.hear("b", update(0, 1, claim("x", 1)))
	o.NodeDown(o.at, "b", false)
	o.NodeUp(o.at, "b", 1)
	hidden := stands(1)
	hidden.Entries[0].Visible = false
	o.hear("c", hidden)
	require.Nil(t, o.Lookup("x"), "c does not show it itself")
	o.hear("c", stands(1))
	require.NotNil(t, o.Lookup("x"))
}

func TestANodeThatLeftIsDropped(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.hear("b", update(0, 1, claim("x", 1)))
	o.NodeDown(o.at, "b", true)
	out := o.Take()
	require.Len(t, out.Events, 1)
	require.Equal(t, WhyNodeLeft, out.Events[0].Why)
	require.Zero(t, o.Stats().Log)
	require.Zero(t, o.mark())
	o.hear("b", update(0, 1, claim("x", 1)))
	require.Nil(t, o.Lookup("x"))
}

func TestANodeThatStaysDownIsForgotten(t *testing.T) {
	o := observe(t, Config{Limits: Limits{ForgetAfter: time.Minute}}, "b")
	o.hear("b", update(0, 1, claim("x", 1)))
	o.NodeDown(o.at, "b", false)
	o.Take()
	o.pass(59 * time.Second)
	require.Contains(t, o.tables, "b")
	out := o.pass(2 * time.Second)
	require.NotContains(t, o.tables, "b")
	require.NotContains(t, o.order, "b")
	require.Empty(t, out.Events, "it was hidden already")
	require.Empty(t, o.sole)
	o.NodeUp(o.at, "b", 1)
	out = o.hear("b", stands(1))
	require.Zero(t, pulls(out)["b"].After, "all is fetched again")
}

func TestAClaimUnderAnotherComesToLightWhenThatIsHidden(t *testing.T) {
	o := observe(t, Config{}, "b", "c")
	o.hear("b", update(0, 1, claim("x", 1)))
	o.hear("c", &Update{Origin: "c", Incarnation: 1, UpTo: 5,
		Records: []*Record{claimOf("c", "x", 5)}})
	require.Equal(t, "c", o.Lookup("x").Node)
	o.NodeDown(o.at, "c", false)
	out := o.Take()
	require.Equal(t, []EventType{Unregistered, Registered}, types(out.Events))
	require.Equal(t, WhyNodeDown, out.Events[0].Why)
	require.Equal(t, "b", o.Lookup("x").Node)
	require.Equal(t, 1, o.Len())
	o.NodeDown(o.at, "b", false)
	require.Zero(t, o.Len())
	require.Nil(t, o.Lookup("x"))
}

func TestAPullFromANodeThatWentDownGoesElsewhere(t *testing.T) {
	o := observe(t, Config{}, "b", "c", "d")
	require.Contains(t, pulls(o.hear("c", stands(5))), "c")
	o.NodeDown(o.at, "c", false)
	require.Len(t, pulls(o.pass(time.Millisecond)), 1, "at once, not after the time-out")
	require.Zero(t, o.Stats().PullTimeouts)
}

func TestTheOwnNodeNeverGoesDown(t *testing.T) {
	o := observe(t, Config{}, "b")
	o.Register(o.at, "x", nil)
	o.NodeDown(o.at, "a", false)
	o.NodeUp(o.at, "a", 77)
	o.NodeDown(o.at, "a", true)
	require.NotNil(t, o.Lookup("x"))
	require.EqualValues(t, 1, o.own.inc)
}

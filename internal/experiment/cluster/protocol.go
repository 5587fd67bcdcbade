package cluster

import "time"

// A nodeConfig is the first line that a node's process gets.
type nodeConfig struct {
	*Params   `json:"params"`
	Name      string    `json:"name"`
	Index     int       `json:"index"`
	Process   int       `json:"process"` // another one for a node that is started again
	Ownership Ownership `json:"ownership"`
	Seeds     []string  `json:"seeds"`
	Port      int       `json:"port"`   // of the registry; 0: any
	Origin    string    `json:"origin"` // URL
}

// An order is each further line. The end of the input tells the node to leave.
type order struct {
	Begin  time.Time `json:"begin,omitzero"`   // of the load
	Cut    *[]string `json:"cut,omitempty"`    // the addresses to which nothing is sent any more
	Poison *bool     `json:"poison,omitempty"` // whether the load of poisonKey ends the process
}

// A nodeReport is a line that a node writes: the first when it is ready, then one in every tick.
type nodeReport struct {
	Registry string `json:"registry,omitempty"` // its addresses; in the first report alone
	HTTP     string `json:"http,omitempty"`

	Peers int      `json:"peers"` // that it sees and has exchanged deletes with
	Ended []record `json:"ended"` // fetches that ended since the report before
	Views []view   `json:"views"` // of other nodes that came or went since then
	// fetches whose deadlines passed since then, also while the process was stopped
	LetDown []record  `json:"down"`
	GivenUp []givenUp `json:"given"`  // loads that were given up since then
	Begun   uint64    `json:"begun"`  // so far
	Missed  uint64    `json:"missed"` // fetches that fell into a time in which the process was stopped
	Wrong   uint64    `json:"wrong"`
	Stale   uint64    `json:"stale"`
	Late    uint64    `json:"late"`
	Failure string    `json:"failure,omitempty"`
	Stats   Stats     `json:"stats"`
	Done    bool      `json:"done,omitempty"` // all fetches of the load have ended
}

// A record is a fetch that has ended.
type record struct {
	Due     time.Duration `json:"d"`           // when it was to begin, from the beginning of the run
	Latency time.Duration `json:"l"`           // from then
	Key     int           `json:"k"`           // its number
	Error   string        `json:"e,omitempty"` // its kind
	Version uint64        `json:"v,omitempty"` // of the value
}

// A view says when a node saw another one come or go.
type view struct {
	Node string    `json:"n"`
	At   time.Time `json:"at"`
}

// A givenUp is a load whose callers had all left.
type givenUp struct {
	Number uint64    `json:"n"` // of its request
	At     time.Time `json:"at"`
}

// Kinds of errors.
const (
	errorLoad        = "load"
	errorDeadline    = "deadline"
	errorOverloaded  = "overloaded"
	errorOther       = "other"
	errorQuarantined = "quarantined" // the key's load has ended processes
)

const (
	// tick is the time between two reports of a node.
	tick = 100 * time.Millisecond

	// interval is the width of what the series show.
	interval = 200 * time.Millisecond

	// poisonKey is the key whose load ends its process: the most popular one.
	poisonKey = 0

	// closePatience bounds what a node does to end in good order.
	closePatience = 2 * time.Second

	// tolerance is how much later than its deadline a fetch may end on a busy machine.
	tolerance = time.Second
)

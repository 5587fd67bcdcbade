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
	Begin  int64     `json:"begin,omitempty"` // start the load: nanoseconds of the wall clock
	Cut    *cutOrder `json:"cut,omitempty"`
	Poison *bool     `json:"poison,omitempty"` // whether the load of poisonKey ends the process
}

// A cutOrder says which addresses nothing is sent to any more.
type cutOrder struct {
	Registry []string `json:"registry"`
	HTTP     []string `json:"http"`
}

// A report is each line that it writes: the first when it is ready, then one in every tick.
type nodeReport struct {
	Registry string `json:"registry,omitempty"` // its addresses; in the first report
	HTTP     string `json:"http,omitempty"`

	At    int64    `json:"at"`    // nanoseconds of the wall clock
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

// A record is one fetch.
type record struct {
	Due     time.Duration `json:"d"`           // when it was to begin, from the beginning of the run
	Latency time.Duration `json:"l"`           // from then
	Key     int           `json:"k"`           // its number
	Error   string        `json:"e,omitempty"` // its kind
	Version uint64        `json:"v,omitempty"` // of the value
}

// A view is that a node has seen another one come or go.
type view struct {
	Node string `json:"n"`
	At   int64  `json:"at"` // nanoseconds of the wall clock
}

// A givenUp is a load that nobody waited for any more.
type givenUp struct {
	Number uint64 `json:"n"`  // of the load: see loadRecord
	At     int64  `json:"at"` // nanoseconds of the wall clock
}

// Kinds of errors.
const (
	errorLoad       = "load"
	errorDeadline   = "deadline"
	errorOverloaded = "overloaded"
	errorOther      = "other"
	// errorQuarantined is that of a key whose load has ended processes.
	errorQuarantined = "quarantined"
)

// poisonKey is the number of the key whose load ends its process: the most popular one.
const poisonKey = 0

const (
	// tick is how often a node reports.
	tick = 100 * time.Millisecond

	// slot is the width of what the series show.
	slot = 200 * time.Millisecond

	// tolerance is how much later than its deadline a fetch may end on a busy machine.
	tolerance = time.Second
)

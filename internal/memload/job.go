package memload

import "time"

// A Job is one cell, as its process is told.
type Job struct {
	Store string `json:"store"`
	Setting
	Entries   int           `json:"entries"`
	ValueSize int           `json:"value_size"`
	Keep      float64       `json:"keep"`
	Phase     time.Duration `json:"phase_ns"`
	Rate      int           `json:"rate"`
	Seed      uint64        `json:"seed"`
}

// validate says what is wrong with a job that came from outside.
func (j *Job) validate() error {
	c := Config{Entries: j.Entries, ValueSize: j.ValueSize, Keep: j.Keep, Phase: j.Phase, Rate: j.Rate,
		Stores: []string{j.Store}, TTL: j.TTL}
	if j.Limit > 0 {
		c.Limits, c.LimitGOGC = []Limit{{Bytes: j.Limit}}, []int{j.GOGC}
	} else {
		c.GOGC = []int{j.GOGC}
	}
	return c.Validate()
}

// kept is how many entries the shrink leaves.
func (j *Job) kept() int { return max(1, int(j.Keep*float64(j.Entries))) }

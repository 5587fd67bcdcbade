package cluster

// Settings are a Config as JSON has it: durations in seconds.
type Settings struct {
	Nodes         int         `json:"nodes"`
	Ownerships    []Ownership `json:"ownerships"`
	Duration      float64     `json:"duration_seconds"`
	Rate          float64     `json:"rate_per_node"`
	Keys          int         `json:"keys"`
	Zipf          float64     `json:"zipf"`
	Size          int         `json:"size_bytes"`
	TTL           float64     `json:"ttl_seconds"`
	Capacity      int         `json:"capacity"`
	CopyTTL       float64     `json:"copy_ttl_seconds"`
	PeerTimeout   float64     `json:"peer_timeout_seconds"`
	Deadline      float64     `json:"deadline_seconds"`
	OriginLatency float64     `json:"origin_latency_seconds"`
	OriginErrors  float64     `json:"origin_errors"`
	Disturb       Disturb     `json:"disturb"`
	Start         float64     `json:"start_seconds"`
	End           float64     `json:"end_seconds"`
	Victims       int         `json:"victims"`
}

// Settings returns what can be set of c.
func (c Config) Settings() Settings {
	return Settings{
		Nodes: c.Nodes, Ownerships: c.Ownerships, Duration: c.Duration.Seconds(), Rate: c.Rate,
		Keys: c.Keys, Zipf: c.Zipf, Size: c.Size,
		TTL: c.TTL.Seconds(), Capacity: c.Capacity, CopyTTL: c.CopyTTL.Seconds(),
		PeerTimeout: c.PeerTimeout.Seconds(),
		Deadline:    c.Deadline.Seconds(), OriginLatency: c.OriginLatency.Seconds(),
		OriginErrors: c.OriginErrors, Disturb: c.Disturb,
		Start: c.Start.Seconds(), End: c.End.Seconds(), Victims: c.Victims,
	}
}

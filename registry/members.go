package registry

import "errors"

// A Member is a node of the cluster, as this node sees it.
type Member struct {
	Name string
	Addr string // host:port
	Self bool   // it is this node
}

// Members returns the nodes that are part of the cluster, this one included, sorted by name.
func (r *Registry) Members() []Member {
	var members []Member
	for _, m := range r.net.Members() {
		members = append(members, Member{m.Name, m.Addr, m.Name == r.cfg.NodeName})
	}
	return members
}

var errKeySize = errors.New("registry: a key has 16, 24 or 32 bytes")

func checkKey(key []byte) error {
	switch len(key) {
	case 16, 24, 32:
		return nil
	}
	return errKeySize
}

// InstallKey makes this node accept traffic under one more key. To change a cluster's key, install
// the new one on all nodes, then [Registry.UseKey] it on all, then [Registry.RemoveKey] the old one
// on all. InstallKey fails if the registry was opened without Config.Keys, or if the key does not
// have 16, 24 or 32 bytes.
func (r *Registry) InstallKey(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return r.net.InstallKey(key)
}

// UseKey makes this node send under an installed key.
func (r *Registry) UseKey(key []byte) error { return r.net.UseKey(key) }

// RemoveKey makes this node refuse traffic under a key. It fails for the key in use.
func (r *Registry) RemoveKey(key []byte) error { return r.net.RemoveKey(key) }

// Keys returns the installed keys, the one in use first; nil without encryption.
func (r *Registry) Keys() [][]byte { return r.net.Keys() }

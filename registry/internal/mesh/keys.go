package mesh

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/memberlist"
)

// InstallKey adds a key that decrypts. It returns a [*ConfigError] if its size is wrong and
// [ErrNotEncrypted] if the mesh was opened without keys, as the other methods for keys do.
//
// To change the key of a cluster that runs, go through all nodes three times: install the new key
// on each, then use it on each, then remove the old one from each. At no moment is there a node
// that can't read what another sends.
func (m *Mesh) InstallKey(key []byte) error {
	if m.keyring == nil {
		return ErrNotEncrypted
	}
	if memberlist.ValidateKey(key) != nil {
		return &ConfigError{"key", fmt.Sprintf("of %d bytes", len(key)), "a key has 16, 24 or 32 bytes"}
	}
	return m.keyring.AddKey(bytes.Clone(key))
}

// UseKey encrypts with a key that is installed from now on.
func (m *Mesh) UseKey(key []byte) error {
	if m.keyring == nil {
		return ErrNotEncrypted
	}
	if err := m.keyring.UseKey(key); err != nil {
		return fmt.Errorf("registry: UseKey: %w", err)
	}
	return nil
}

// RemoveKey takes out a key that decrypts. The one that encrypts can't be removed.
func (m *Mesh) RemoveKey(key []byte) error {
	if m.keyring == nil {
		return ErrNotEncrypted
	}
	if err := m.keyring.RemoveKey(key); err != nil {
		return fmt.Errorf("registry: RemoveKey: %w", err)
	}
	return nil
}

// Keys returns the keys installed, the one that encrypts first; none if the mesh is not encrypted.
func (m *Mesh) Keys() [][]byte {
	if m.keyring == nil {
		return nil
	}
	var keys [][]byte
	for _, k := range m.keyring.GetKeys() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

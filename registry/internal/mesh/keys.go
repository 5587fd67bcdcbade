package mesh

import (
	"bytes"
	"fmt"
)

// InstallKey adds a key that decrypts. It fails if its size is wrong; and with [ErrNotEncrypted] if
// the mesh was opened without keys, as the other methods for keys do.
//
// To change the key of a running cluster, go through all nodes three times: install the new key on
// each, then use it on each, then remove the old one from each. At no moment does a node send under
// a key that another lacks.
func (m *Mesh) InstallKey(key []byte) error {
	if m.keyring == nil {
		return ErrNotEncrypted
	}
	return m.keyring.AddKey(bytes.Clone(key))
}

// UseKey makes an installed key the one that encrypts.
func (m *Mesh) UseKey(key []byte) error {
	if m.keyring == nil {
		return ErrNotEncrypted
	}
	if err := m.keyring.UseKey(key); err != nil {
		return fmt.Errorf("registry: UseKey: %w", err)
	}
	return nil
}

// RemoveKey removes a key. The one that encrypts can't be removed.
func (m *Mesh) RemoveKey(key []byte) error {
	if m.keyring == nil {
		return ErrNotEncrypted
	}
	if err := m.keyring.RemoveKey(key); err != nil {
		return fmt.Errorf("registry: RemoveKey: %w", err)
	}
	return nil
}

// Keys returns the installed keys, the one that encrypts first; none if the mesh is not encrypted.
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

package lab

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWrapped(t *testing.T) {
	assert.Equal(t, "it took\n1.8 s then", wrapped("it took 1.8 s then", 10))
	assert.Equal(t, "by\n-3.5 %.", wrapped("by -3.5 %.", 7))
	assert.Equal(t, "unbreakable", wrapped("unbreakable", 3))
	assert.Empty(t, wrapped("", 3))
}

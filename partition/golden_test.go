package partition_test

import (
	"bufio"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/snowfence/snowfence/partition"
)

// TestGolden holds this package to testdata/golden.tsv, which was computed by
// another implementation. A failure means that nodes of different releases
// would disagree on where a key lives: mend the code, never the file.
func TestGolden(t *testing.T) {
	maps, vectors := readGolden(t)
	require.Greater(t, len(vectors), 50)
	for _, v := range vectors {
		require.Equal(t, v.hash, xxhash.Sum64(v.key), "line %d: hash", v.line)
		require.Len(t, v.partitions, len(maps), "line %d", v.line)
		for i, m := range maps {
			require.Equal(t, v.partitions[i], m.Of(string(v.key)), "line %d: Of, n = %d", v.line, m.Len())
			require.Equal(t, v.partitions[i], m.OfBytes(v.key), "line %d: OfBytes, n = %d", v.line, m.Len())
		}
	}
}

// TestGoldenCoversTheEdges keeps the file worth reading: a set without the
// awkward keys and counts would let a wrong port pass.
func TestGoldenCoversTheEdges(t *testing.T) {
	maps, vectors := readGolden(t)
	counts := make([]int, len(maps))
	for i, m := range maps {
		counts[i] = m.Len()
	}
	assert.Subset(t, counts, []int{1, 2, 3, 7, 16, 100, 1000, partition.Max})

	hashes := make(map[string]uint64, len(vectors))
	lengths := make(map[int]bool)
	for _, v := range vectors {
		hashes[string(v.key)] = v.hash
		lengths[len(v.key)] = true
	}
	for n := range 42 { // past one block of 32 bytes and every length of tail
		assert.True(t, lengths[n], "no key of %d bytes", n)
	}
	assert.True(t, lengths[1000], "no long key")
	assert.Contains(t, hashes, "\xff\xfe\xfd", "no key that is not UTF-8")

	// Values that the authors of XXH64 and others publish.
	assert.Equal(t, uint64(0xef46db3751d8e999), hashes[""])
	assert.Equal(t, uint64(0x44bc2cf5ad770999), hashes["abc"])
	assert.Equal(t, uint64(0xfbcea83c8a378bf1), hashes["Nobody inspects the spammish repetition"])
}

type vector struct {
	line       int
	key        []byte
	hash       uint64
	partitions []int
}

func readGolden(t *testing.T) ([]partition.Map, []vector) {
	t.Helper()
	file, err := os.Open("testdata/golden.tsv")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()

	var (
		maps    []partition.Map
		vectors []vector
	)
	lines := bufio.NewScanner(file)
	for line := 1; lines.Scan(); line++ {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "\t")
		require.Greater(t, len(fields), 2, "line %d", line)
		if maps == nil {
			require.Equal(t, []string{"key", "hash"}, fields[:2], "line %d", line)
			for _, name := range fields[2:] {
				n, err := strconv.Atoi(strings.TrimPrefix(name, "n="))
				require.NoError(t, err, "line %d", line)
				maps = append(maps, newMap(t, n))
			}
			continue
		}
		v := vector{line: line}
		v.key, err = hex.DecodeString(fields[0])
		require.NoError(t, err, "line %d", line)
		v.hash, err = strconv.ParseUint(fields[1], 16, 64)
		require.NoError(t, err, "line %d", line)
		for _, field := range fields[2:] {
			p, err := strconv.Atoi(field)
			require.NoError(t, err, "line %d", line)
			v.partitions = append(v.partitions, p)
		}
		vectors = append(vectors, v)
	}
	require.NoError(t, lines.Err())
	return maps, vectors
}

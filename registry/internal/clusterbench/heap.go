package clusterbench

import (
	"context"
	"runtime"
)

// liveHeap returns the bytes that are reachable.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// holderHeap measures what names and their registrations take on the node where their holders live.
func holderHeap(ctx context.Context, names int) (figures []figure, err error) {
	err = setup{nodes: 1}.with(ctx, func(c *cluster) error {
		before := liveHeap()
		if _, err := register(c.nodes[0], 0, names, 1); err != nil {
			return err
		}
		if err := c.quiet(ctx); err != nil {
			return err
		}
		measured := liveHeap() - before
		figures = heapFigures("where the holders live", names, measured, c.nodes[0].Stats().HeapBytes)
		return nil
	})
	return figures, err
}

func heapFigures(where string, names int, measured float64, estimate uint64) []figure {
	return []figure{
		{"heap per name " + where + ", measured", bytes, measured / float64(names)},
		{"heap per name " + where + ", by Stats", bytes, float64(estimate) / float64(names)},
	}
}

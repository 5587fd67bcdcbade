package main

import (
	"bufio"
	"fmt"
	"os"
)

// availableMemory returns the bytes that new processes can take without swapping, if it is known.
func availableMemory() (bytes float64, ok bool) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var kib float64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %f kB", &kib); n == 1 {
			return 1024 * kib, true
		}
	}
	return 0, false
}

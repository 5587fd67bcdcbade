//go:build !unix

package clusterbench

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }

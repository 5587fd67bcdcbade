package sim

import "time"

// dice is a random source of one word (SplitMix64). Each link and each node has its own, so that
// removing a step from a world changes the rest as little as possible.
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fork returns an independent source for a number.
func fork(d dice, n uint64) dice {
	f := d + dice(n)*0xd1342543de82ef95
	return dice(f.next())
}

func (d *dice) intn(n int) int { return int(d.next() % uint64(n)) }

func (d *dice) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	return float64(d.next()>>11)/(1<<53) < p
}

// between returns a duration in [lo, hi).
func (d *dice) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(d.next()%uint64(hi-lo))
}

// oneOf returns a random one of some values.
func oneOf[T any](d *dice, values ...T) T { return values[d.intn(len(values))] }

package dedupe

import "testing"

// ForceHash makes all keys have the hash that f says, until the test ends.
func ForceHash(t testing.TB, f func(key []byte) uint64) {
	was := hashKey
	hashKey = f
	t.Cleanup(func() { hashKey = was })
}

// Partitions is how many partition files a Run made.
func Partitions(r *Result) int { return r.bits.dir.next }

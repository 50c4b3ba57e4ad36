package failpoint

import "sync/atomic"

var watcher atomic.Pointer[func(name string)]

// Watch has f called at every Hit of this process, on whatever goroutine, until stop is called. It is for tests, one at
// a time.
func Watch(f func(name string)) (stop func()) {
	if !watcher.CompareAndSwap(nil, &f) {
		panic("failpoint: two tests watch at once")
	}
	return func() { watcher.Store(nil) }
}

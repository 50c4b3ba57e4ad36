package process_test

import (
	"testing"

	"go.uber.org/goleak"

	"fanmill/internal/soak"
)

// Every goroutine has an owner that waits for it: none is left when all nodes and stores are closed. But for one of
// Watermill's: a router that is stopped before all its handlers have subscribed waits for those that never began, for
// ever.
func TestMain(m *testing.M) {
	soak.Parallel(6) // those that are mostly waiting
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/message.(*Router).watchAllHandlersStopped.func1"))
}

package stages_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No session leaves a goroutine behind, however it ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

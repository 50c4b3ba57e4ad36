//go:build !linux

package nats_test

import (
	"testing"

	"fanmill/nats"
)

// smallDisk is for systems where tests can mount one.
func smallDisk(*testing.T) func(*testing.T) (string, func(string) (int64, bool), func(*nats.Conn), func(*nats.Conn)) {
	return nil
}

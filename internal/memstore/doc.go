// Package memstore has the store of a test in memory. It lies as the real one does: answers get lost, replicas are
// behind, messages come twice, and late.
package memstore

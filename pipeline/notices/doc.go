// Package notices works off the outbox of notices: what is to be told of runs and by whom stands in the store, and
// whoever serves, or runs a job, sends it. It knows nothing of how a target is told.
package notices

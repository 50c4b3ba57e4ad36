// Package query asks databases: a worker claims a connection's record, reads the rows of its queries, and writes them
// into the row log as frames.
package query

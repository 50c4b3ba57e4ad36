//go:build !unix

package stages

// shareWAL is for Unix: elsewhere files take their folder's permissions.
func (*sqliteTarget) shareWAL() {}

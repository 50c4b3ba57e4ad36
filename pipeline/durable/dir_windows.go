package durable

// SyncDir does nothing: Windows keeps names durable by itself, and cannot sync a folder.
func SyncDir(string) error { return nil }

package pipeline

import (
	"context"
	"fmt"
	"time"
)

// KV is one bucket of a durable key-value store with compare-and-set. Every write is durable when it returns.
type KV interface {
	// Get returns ErrNoKey if the key does not exist or was deleted.
	Get(ctx context.Context, key string) (KVEntry, error)
	// Create fails with ErrConflict if the key exists.
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Update fails with ErrConflict unless revision is the key's newest. After a timeout the write may or may not have
	// happened, and a retry by the client library may make one that did look like a conflict.
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	// Delete removes the key; no error if there is none.
	Delete(ctx context.Context, key string) error
	// RemoveAll removes every key that matches pattern.
	RemoveAll(ctx context.Context, pattern string) error
	// Keys lists the keys that match pattern, in which * stands for one dot-separated token and a final > for the rest.
	Keys(ctx context.Context, pattern string) ([]string, error)
	// Watch sends the present entries that match pattern, then an entry with an empty key, then every change (deletions
	// with Deleted set) until ctx ends; then the channel is closed.
	Watch(ctx context.Context, pattern string) (<-chan KVEntry, error)
}

// KVEntry is a key's value at a revision.
type KVEntry struct {
	Key      string
	Value    []byte
	Revision uint64
	Modified time.Time // the server's clock
	Deleted  bool
}

// Stores are the buckets fanmill keeps its state in.
type Stores struct {
	// <job>: the job as loaded, secrets as references; <job>.definition: JobDefinition, of a job of the store;
	// <job>.definition.<version>: JobText; <job>.files: FilesRecord; <job>.schedule: Timetable
	Jobs KV
	// <run>: RunRecord; <run>.manifest; <run>.conn.<connection>: ConnRecord; <run>.cancel: Cancellation;
	// <run>.place.<destination>: PlaceNote;
	// job.<job>: JobRun; process.<token>: ProcessRecord;
	// notice.run.<run>.<incarnation>.<target>, notice.late.<job>.<day>.<target>: NoticeRecord; notice.job.<job>:
	// JobNotices
	Runs        KV
	Checkpoints KV // <job>: PublicCheckpoint; <run>.<destination>: CommitRecord
}

// WatchEnded is the error of whoever follows a watch of what, and sees its end before its own.
func WatchEnded(ctx context.Context, what string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return Transient(fmt.Errorf("the watch of %s ended", what))
}

// Store is all that fanmill keeps its state in, as a whole.
type Store interface {
	// Probe looks whether the store is the one that this process opened, and works. The error is ErrStore if it is
	// another one, or was emptied; any other says, in words for people, what keeps it from working and what helps.
	Probe(ctx context.Context) error
}

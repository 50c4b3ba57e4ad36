package pipeline

const (
	MaxBatch = 4 << 20 // and at most this
)

// CutBytes is how much a destination reads, in bytes of frames, before it makes its parts durable, however large the
// log may become: only what is recorded can be trimmed, and an embedded server keeps what was stored in the last ten
// seconds in memory unless it is trimmed. A cut costs an fsync of each open part.
const CutBytes = 64 << 20

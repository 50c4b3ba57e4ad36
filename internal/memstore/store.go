package memstore

import "fanmill/pipeline"

// Store is a whole store, which processes of a test share.
type Store struct {
	Jobs, Runs, Checkpoints KV
	Logs                    Logs
	Messages                Bus
}

// Stores are its buckets, as nats.Conn has them.
func (s *Store) Stores() pipeline.Stores {
	return pipeline.Stores{Jobs: &s.Jobs, Runs: &s.Runs, Checkpoints: &s.Checkpoints}
}

// RowLogs are its row logs.
func (s *Store) RowLogs() pipeline.RowLogs { return &s.Logs }

// Bus is its bus.
func (s *Store) Bus() pipeline.Bus { return &s.Messages }

package coordinate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"fanmill/pipeline"
)

// queryCommand is the command for a connection, and where it goes.
func (r *run) queryCommand(id string) (topic string, _ pipeline.QueryCommand) {
	pool := pipeline.AnyPool
	if r.c.Own {
		pool = pipeline.OwnPool(r.c.Owner.Token)
	}
	return pipeline.TopicQueryCommand(pool, r.m.Run, id), pipeline.QueryCommand{Job: r.m.JobID, Run: r.m.Run, Incarnation: r.fixed.Resumes, Connection: id}
}

// sinkCommand is the command for a destination, and where it goes as things stand: where its files or its rows are.
func (s *supervisor) sinkCommand(id string) (topic string, _ pipeline.SinkCommand) {
	r, d, rec := s.run, s.m.Destination(id), s.records[id]
	kind := r.c.Sinks[d.Type]
	place := rec.At(s.m, d, kind)
	if r.c.Own {
		place = pipeline.OwnPool(r.c.Owner.Token)
	}
	name := d.Type
	if kind != nil {
		name = cmp.Or(kind.Name, name)
	}
	return pipeline.TopicSinkCommand(place, name, r.m.Run, id), pipeline.SinkCommand{Job: r.m.JobID, Run: r.m.Run, Incarnation: r.fixed.Resumes, Destination: id, Place: place}
}

func (r *run) command(topic string, c any) error { return r.c.command(topic, c) }

func (n *Coordinator) command(topic string, c any) error {
	payload, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := n.Bus.Publish(topic, "", payload); err != nil {
		return fmt.Errorf("publish command: %w", err)
	}
	return nil
}

// dropCommands removes the commands of a run.
func (n *Coordinator) dropCommands(ctx context.Context, id string) error {
	for _, topic := range pipeline.TopicsOfCommands(id) {
		if err := n.Bus.Drop(ctx, topic); err != nil {
			return fmt.Errorf("drop commands of run %s: %w", id, err)
		}
	}
	return nil
}

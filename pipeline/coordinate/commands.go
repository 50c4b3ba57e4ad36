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
	kind, place := s.kindAndPlace(id)
	if s.c.Own {
		place = pipeline.OwnPool(s.c.Owner.Token)
	}
	return pipeline.TopicSinkCommand(place, kind, s.m.Run, id), pipeline.SinkCommand{Job: s.m.JobID, Run: s.m.Run, Incarnation: s.run.fixed.Resumes, Destination: id, Place: place}
}

// kindAndPlace is the type of a destination by its first name, and where it is to be written; "" is anywhere.
func (s *supervisor) kindAndPlace(id string) (name, place string) {
	d, rec := s.m.Destination(id), s.records[id]
	kind := s.c.Sinks[d.Type]
	if name = d.Type; kind != nil {
		name = cmp.Or(kind.Name, name)
	}
	return name, rec.At(s.m, d, kind)
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

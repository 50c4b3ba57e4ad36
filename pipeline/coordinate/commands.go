package coordinate

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"fanmill/pipeline"
)

// topic is where the commands of this run go. Each resume has topics and consumers of its own: a frozen predecessor,
// waking, takes no command of the run that went on without it, and what it drops are its own.
func (r *run) topic(of func(run string) string) string {
	return incarnation(of(r.m.Run), r.fixed.Resumes)
}

func (r *run) durable(kind string) string {
	return fmt.Sprintf("%s-%s-%d", kind, r.m.Run, r.fixed.Resumes)
}

func incarnation(topic string, resumes int) string { return topic + "." + strconv.Itoa(resumes) }

func (r *run) command(topic string, c any) error {
	payload, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := r.c.Bus.Publish(topic, "", payload); err != nil {
		return fmt.Errorf("publish command: %w", err)
	}
	return nil
}

// dropCommands removes the commands of a run as it was after so many resumes.
func (n *Coordinator) dropCommands(ctx context.Context, id string, resumes int) error {
	for _, topic := range []string{pipeline.TopicSink(id), pipeline.TopicQuery(id)} {
		if err := n.Bus.Drop(ctx, incarnation(topic, resumes)); err != nil {
			return fmt.Errorf("drop commands of run %s: %w", id, err)
		}
	}
	return nil
}

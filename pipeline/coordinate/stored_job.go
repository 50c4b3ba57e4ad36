package coordinate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"fanmill/pipeline"
)

// StoreJob shows operators the job as it was last run, without the addresses of its databases and the secrets of its
// destinations.
func (n *Coordinator) StoreJob(ctx context.Context, job *pipeline.Job) error {
	shown := *job
	shown.Connections = slices.Clone(job.Connections)
	for i := range shown.Connections {
		shown.Connections[i].DSN = ""
	}
	shown.Destinations = slices.Clone(job.Destinations)
	for i := range shown.Destinations {
		d := &shown.Destinations[i]
		d.Options = pipeline.WithoutSecrets(d.Options, n.optionsOf(d.Type))
	}
	data, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	if _, err := n.Stores.Jobs.Put(ctx, pipeline.Token(job.ID), data); err != nil {
		return fmt.Errorf("store job: %w", err)
	}
	return nil
}

// optionsOf is the table of a type of destination; nil if there is none of this name here.
func (n *Coordinator) optionsOf(typ string) []pipeline.Option {
	if kind := n.Sinks[typ]; kind != nil {
		return kind.Options
	}
	return nil
}

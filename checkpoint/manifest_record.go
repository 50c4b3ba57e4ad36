package checkpoint

import (
	"context"
	"fmt"
	"slices"

	"fanmill/pipeline"
)

// manifestHead is the first member of every manifest.
var manifestHead = fmt.Sprintf(`{"version":%d,`, recordVersion)

// StoreManifest writes a run's manifest, without secrets: options gives the table of a type of destination, nil if
// there is none.
func StoreManifest(ctx context.Context, runs pipeline.KV, m *pipeline.Manifest, options func(typ string) []pipeline.Option) error {
	stored := *m
	stored.Destinations = slices.Clone(m.Destinations)
	for i := range stored.Destinations {
		d := &stored.Destinations[i]
		d.Options = pipeline.WithoutSecrets(d.Options, options(d.Type))
	}
	unknown, err := manifestOrigin(m.Source)
	if err != nil {
		return err
	}
	members, err := unknown.keep(stored)
	if err != nil {
		return err
	}
	data, err := encodeDocument(stored, manifestHead, members)
	if err != nil {
		return err
	}
	if err := replaceRecord(ctx, runs, ManifestKey(m.Run), data); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// LoadManifest reads a run's manifest.
func LoadManifest(ctx context.Context, runs pipeline.KV, id string) (*pipeline.Manifest, error) {
	e, err := runs.Get(ctx, ManifestKey(id))
	if err != nil {
		return nil, fmt.Errorf("read manifest of run %s: %w", id, err)
	}
	var m pipeline.Manifest
	if err := decode(e.Value, &m); err != nil {
		return nil, ForeignRecord(ManifestKey(id), err)
	}
	if m.Run != id {
		return nil, ForeignRecord(ManifestKey(id), fmt.Errorf("it is that of run %s", m.Run))
	}
	unknown, err := originOf(e.Value, m, manifestHead)
	if err != nil {
		return nil, ForeignRecord(ManifestKey(id), err)
	}
	if unknown != nil {
		m.Source = e.Value
	}
	return &m, nil
}

// manifestOrigin is what a stored manifest has in it that this program does not know; nil if source is.
func manifestOrigin(source []byte) (*origin[pipeline.Manifest], error) {
	if source == nil {
		return nil, nil
	}
	var m pipeline.Manifest
	if err := decode(source, &m); err != nil {
		return nil, err
	}
	return originOf(source, m, manifestHead)
}

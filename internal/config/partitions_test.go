package config_test

import (
	"errors"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// Partitions are for kinds that several workers can write: others, and what a kind refuses, are named with what to do.
func TestPartitions(t *testing.T) {
	hook := &pipeline.SinkKind{Name: "hook", Label: "a hook", TargetKey: "url", Example: "x", Modes: []string{"batch", "stream"}, Traits: pipeline.Traits{Target: pipeline.TargetURL},
		Partitions: func(d *pipeline.Destination) error {
			if d.Mode == "stream" {
				return nil
			}
			return errors.New("not in batch")
		}}
	o := withKinds(nil, &pipeline.SinkKind{Name: "csv", Label: "CSV", Example: "a.csv"}, hook)
	for text, want := range map[string]string{
		`{"type": "hook", "mode": "stream", "partitions": 4}`:                                                          "",
		`{"type": "hook", "partitions": 1}`:                                                                            "",
		`{"type": "hook", "partitions": 4}`:                                                                            "destinations[0].partitions: not in batch",
		`{"type": "hook", "mode": "stream", "partitions": 33}`:                                                         "must be a whole number from 1 to 32",
		`{"type": "csv", "filePath": "a.csv", "partitions": 2}`:                                                        "CSV is written by one worker",
		`{"type": "csv", "filePath": "a.csv", "partitions": 1}`:                                                        "",
		`{"id": "x", "type": "hook", "mode": "stream", "partitions": 2}, {"id": "x~2", "type": "hook"}`:                `one of its partitions has the id "x~2"`,
		`{"id": "x~2", "type": "hook"}, {"id": "x", "type": "hook", "mode": "stream", "partitions": 2}`:                `one of its partitions has the id "x~2"`,
		`{"id": "x", "type": "hook", "mode": "stream", "partitions": 2}, {"id": "x~3", "type": "hook"}`:                "",
		`{"id": "x", "type": "hook", "mode": "stream", "partitions": 2}, {"id": "y", "type": "hook", "mode": "batch"}`: "",
	} {
		f, err := config.Parse("j.json", []byte(jobTo(text)), o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if err == nil && strings.Contains(text, `"partitions": 4`) && f.Job.Destinations[0].Partitions != 4 {
			t.Errorf("%s: %+v", text, f.Job.Destinations[0])
		}
	}
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"fanmill/pipeline/spec"

	"github.com/spf13/pflag"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// inlineFlags say whether triggers may bring jobs along, and what those may reach.
type inlineFlags struct {
	on             bool
	root           string
	hosts, folders []string
}

func (f *inlineFlags) add(fl *pflag.FlagSet) {
	fl.BoolVar(&f.on, "inline-jobs", false, "take jobs that triggers bring along (fanmill.jobs.inline.<job>), within the bounds that follow")
	fl.StringVar(&f.root, "artifact-root", "", "`folder` that such jobs write their artifacts to; relative paths begin there")
	fl.StringArrayVar(&f.hosts, "allow-host", nil, "`HOST[:PORT]` that such jobs may reach: a name, *.example.org, an address, 10.1.0.0/16, or * for any; may be given several times")
	fl.StringArrayVar(&f.folders, "allow-folder", nil, "`folder` of database files that such jobs may read; may be given several times")
}

// bounds are what jobs that are brought along may reach; nil if there are to be none. apart are folders that are
// fanmill's or its owner's.
func (f *inlineFlags) bounds(apart ...string) (*config.Bounds, error) {
	switch {
	case !f.on && (f.root != "" || len(f.hosts)+len(f.folders) > 0):
		return nil, errors.New("--artifact-root, --allow-host and --allow-folder are for --inline-jobs, which is missing")
	case !f.on:
		return nil, nil
	case f.root == "":
		return nil, errors.New("--inline-jobs needs --artifact-root, the folder that such jobs may write to")
	}
	return config.NewBounds(f.root, f.folders, f.hosts, apart)
}

// inlineJob reads a job out of a trigger. id is the one that the trigger's subject names.
func (s *settings) inlineJob(jobs *served, id string, text json.RawMessage) (*spec.Definition, error) {
	if jobs.bounds == nil {
		return nil, errors.New("jobs that triggers bring along are not taken here: put the job into the folder that is served, or into the store, or start fanmill serve with --inline-jobs, --artifact-root and --allow-host")
	}
	o := jobOptions(s.strict, nil)
	o.Bounds = jobs.bounds
	file, err := config.Parse("inline job", text, o)
	if err != nil {
		return nil, err
	}
	if pipeline.Token(file.Job.ID) != id {
		return nil, fmt.Errorf("the inline job has the id %q; publish it to %s", file.Job.ID, pipeline.TopicInline(file.Job.ID))
	}
	if from := jobs.serves(file.Job.ID); from != "" {
		return nil, fmt.Errorf("the inline job has the id of a job that is served, %s; give it another", from)
	}
	def := definition(file)
	def.Inline = true
	return def, nil
}

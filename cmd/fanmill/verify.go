package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fanmill/internal/screen"
	"fanmill/pipeline"
	"fanmill/sinks/proof"
)

func newVerify(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	var complete bool
	var expect string
	c := &cobra.Command{
		Use:   "verify ARTIFACT...",
		Short: "Prove that files are whole, and as fanmill published them",
		Long: `verify compares files with the manifest beside each (FILE.manifest.json): length, SHA-256, and the rows of every connection, counted in the
file. It needs the file and its manifest, and no store, job or database. ARTIFACT is a file, a folder (all files in it and below that have a
manifest) or a pattern with *, ? or a token of a job, such as {connection}. The exit code is 0 if all files are proven, 3 if one is not what
its manifest says, 1 if one cannot be told: it has no manifest, or cannot be read.`,
		Example: `  fanmill verify "D:/Reports/GST 2026-11-24.xlsx"
  fanmill verify D:/Reports --complete
  fanmill verify "D:/Exports/{connection}.csv" --json
  fanmill verify GST.csv --expect 20261123-191112-psckdj`,
		Args: arguments(0, anyNumber),
	}
	f.add(c, jsonFlag)
	fl := c.Flags()
	fl.BoolVar(&complete, "complete", false, "a file of a run that has not delivered all connections is a failure, too")
	fl.StringVar(&expect, "expect", "", "`id` of the run that the files must be of")
	fl.BoolVar(&f.verbose, "verbose", false, "list all files, also of more than 60")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 { // a script whose list of files is empty has proven nothing
			return &exitError{exitBadJob, c.Help()}
		}
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		if c.Flags().Changed("expect") && strings.TrimSpace(expect) == "" {
			return badLine(c, fmt.Errorf("--expect needs the id of a run, such as fanmill runs shows"))
		}
		targets, err := verified(args)
		if err != nil {
			return err
		}
		view, err := verifyFiles(c.Context(), stderr, targets, expect)
		if err != nil {
			return err
		}
		view.Complete = complete
		if err := s.print(stdout, view); err != nil {
			return err
		}
		switch _, differing, unknown := view.Counts(); {
		case differing > 0:
			return &exitError{exitPartial, nil}
		case unknown > 0:
			return &exitError{exitFailed, nil}
		}
		return nil
	}
	return c
}

// verified are the files that arguments name, each once.
func verified(args []string) (all []proof.Target, err error) {
	for _, arg := range args {
		found, err := proof.Find(arg)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if !slices.ContainsFunc(all, func(o proof.Target) bool { return o.Path == t.Path }) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// verifyFiles compares files with their manifests, one after the other.
func verifyFiles(ctx context.Context, stderr io.Writer, targets []proof.Target, expect string) (view screen.VerifyView, err error) {
	total := int64(0)
	for _, t := range targets {
		if info, err := os.Stat(t.Path); err == nil && info.Mode().IsRegular() {
			total += 2 * info.Size() // its checksum and its rows
		}
	}
	bar := screen.NewBar(stderr, total)
	defer bar.Close()
	checker := proof.Checker{Kinds: sinkKinds(), Read: bar.Add}
	for i, t := range targets {
		bar.At(i+1, len(targets), t.Path)
		r := checker.Check(ctx, t)
		if ctx.Err() != nil {
			return view, ctx.Err()
		}
		view.Files = append(view.Files, verifyLine(&r, expect))
	}
	return view, nil
}

// verifyLine is what is shown of a file.
func verifyLine(r *proof.Result, expect string) screen.VerifyLine {
	l := screen.VerifyLine{Path: r.Path, Manifest: r.Manifest, State: string(r.State), Sealed: r.Sealed, Bytes: r.Size, SHA256: r.SHA256, Counted: r.Counted, Why: r.Why, Notes: r.Notes}
	switch r.State {
	case proof.Proven, proof.Partial:
	case proof.Unknown, proof.Running:
		l.Unknown = true
	default:
		l.Differs = true
	}
	if r.Report == nil {
		return l
	}
	l.Run, l.JobID, l.JobName, l.Destination = r.Report.Run, r.Report.JobID, r.Report.JobName, r.Report.Destination
	l.RunState, l.GivenUp = string(r.Report.State), r.Report.Error
	if expect != "" && r.Report.Run != expect {
		l.State, l.Differs, l.Unknown = string(proof.Other), true, false
		l.Why = append([]string{fmt.Sprintf("the file is of run %s, and not of %s", r.Report.Run, expect)}, l.Why...)
	}
	l.Of, l.Connections = len(r.Report.Connections), len(r.Report.Connections)-len(r.Missing)
	for i := range r.Report.Connections {
		if c := &r.Report.Connections[i]; c.State == pipeline.ReportSettled {
			for _, n := range c.Rows {
				l.WantRows += n
			}
		}
	}
	if r.Counted {
		l.Rows = r.Counts.Rows
	}
	for _, s := range r.Counts.Shares {
		if s.Has != s.Want {
			l.Differences = append(l.Differences, screen.VerifyRows{Of: s.Of, File: s.Has, Manifest: s.Want})
		}
	}
	for _, c := range r.Missing {
		l.Missing = append(l.Missing, screen.VerifyMissing{ID: c.ID, Name: c.Name, State: c.State, Error: c.Error})
	}
	if !r.Written.IsZero() && l.Differs {
		l.Changed = &r.Written
	}
	return l
}

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/internal/screen"
)

func newValidate(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "validate JOB.json ...",
		Short: "Read job files and name everything that is wrong with them",
		Long: `validate reads job files as run would and reports every problem with its line and the likely fix: keys, ids, variables that are not set,
paths, two destinations on one file, folders that cannot be written. It opens no database (fanmill check does) and writes nothing.
Exit code 0 if all can be run, 2 if not.`,
		Example: "  fanmill validate gst.json\n  fanmill validate --strict D:/jobs/*.json",
		Args:    arguments(1, anyNumber),
	}
	f.add(c, storeFlags, envDirFlag, logFlags, jobFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		if _, err := f.settings(c, ""); err != nil {
			return err
		}
		bad := 0
		for _, path := range matching(args) {
			file, err := f.read(c, path, stderr)
			if err != nil {
				bad++
				_ = screen.Message(stderr, err.Error()+"\n")
				continue
			}
			fmt.Fprintf(stdout, "%s: job %s is good: %s, %s\n", path, file.Job.ID, screen.Of(int64(len(file.Job.Connections)), "connection"),
				screen.Of(int64(len(file.Job.Destinations)), "destination"))
		}
		if bad > 0 {
			return &exitError{code: exitBadJob}
		}
		return nil
	}
	return c
}

// read reads a job file as run would, with the .env beside it.
func (f *flags) read(c *cobra.Command, path string, stderr io.Writer) (*config.File, error) {
	s, err := f.settings(c, path)
	if err != nil {
		return nil, err
	}
	return s.loadJob(c.Context(), path, nil, s.log(stderr))
}

// matching puts the files that a pattern matches in its place, as shells but those of Windows do themselves.
func matching(args []string) (paths []string) {
	for _, arg := range args {
		found, _ := filepath.Glob(arg)
		if _, err := os.Lstat(arg); err == nil || len(found) == 0 {
			found = []string{arg} // a file of that very name, or something that the reader is told of
		}
		paths = append(paths, found...)
	}
	return paths
}

func newSchema(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of job files, for editors",
		Long: `schema prints the JSON Schema of job files (draft 2020-12). An editor that knows it completes keys and marks mistakes: in a JSON file
write "$schema": "fanmill.schema.json", in YAML begin with # yaml-language-server: $schema=fanmill.schema.json`,
		Example: "  fanmill schema > fanmill.schema.json",
		Args:    arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := stdout.Write(config.Schema(databaseKinds(), sinkKinds(), notifyKinds()))
			return err
		},
	}
}

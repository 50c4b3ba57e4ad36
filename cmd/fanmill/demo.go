package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"fanmill/internal/gst"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

type demoFlags struct {
	branches, rows int
	out            string
	seed           uint64
}

func newDemo(stdout, stderr io.Writer) *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Make demo branches of GST sales and run a job over them",
		Long: `demo makes SQLite databases of invented GST sales, one per branch, writes a job file for them and runs it: one workbook with a
sheet per branch and one CSV. Everything, fanmill's own state included, stays in one folder that can be deleted.`,
		Example: `  fanmill demo
  fanmill demo --branches 8 --rows 100000 --out /tmp/gst
  fanmill run demo/gst.json          run the same job again`,
		Args: arguments(0, 0),
	}
	fl := c.Flags()
	fl.IntVar(&f.branches, "branches", 56, "how many branches")
	fl.IntVar(&f.rows, "rows", 2000, "about how many rows each")
	fl.StringVar(&f.out, "out", "demo", "folder for databases, job file and artifacts")
	fl.Uint64Var(&f.seed, "seed", 1, "the same seed makes the same data")
	c.RunE = func(c *cobra.Command, _ []string) error { return demo(c, f, stdout, stderr) }
	return c
}

func demo(c *cobra.Command, f demoFlags, stdout, stderr io.Writer) error {
	if f.branches < 1 || f.rows < 1 {
		return badLine(c, errors.New("--branches and --rows are at least 1"))
	}
	s, err := (&flags{}).settings(c, "")
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(f.out)
	if err != nil {
		return err
	}
	out := &output{stderr: stderr}
	log := slog.New(s.handler(out, s.level(), screen.Colors(stderr)))
	started := time.Now()
	branches, err := gst.Generate(c.Context(), filepath.Join(dir, "branches"), f.branches, f.rows, f.seed, nil)
	if err != nil {
		return err
	}
	log.Info(fmt.Sprintf("made %d branch databases in %s", len(branches), time.Since(started).Round(time.Millisecond)), "folder", filepath.Join(dir, "branches"))
	path := filepath.Join(dir, "gst.json")
	if err := writeDemoJob(path, dir, branches); err != nil {
		return fmt.Errorf("write demo job: %w", err)
	}
	s.env.Data, s.env.NATSURL, s.env.NATSContext, s.workDir = filepath.Join(dir, "data"), "", "", dir
	s.store = " --data " + shellQuote(s.env.Data)
	file, err := s.loadJob(c.Context(), path, nil, log)
	if err != nil {
		return err
	}
	return s.runJob(c.Context(), file, pipeline.Trigger{}, stdout, out, log)
}

// writeDemoJob writes the job as a user would.
func writeDemoJob(path, dir string, branches []gst.Branch) error {
	type connection struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Driver string `json:"driver"`
		DSN    string `json:"dsn"`
	}
	type destination struct {
		Type     string `json:"type"`
		FilePath string `json:"filePath"`
		Mode     string `json:"mode"`
	}
	job := struct {
		ID           string        `json:"id"`
		Name         string        `json:"name"`
		Query        string        `json:"query"`
		Connections  []connection  `json:"connections"`
		Destinations []destination `json:"destinations"`
	}{ID: "job_gst_data", Name: "GST Sale Data - All Branches", Query: gst.Query}
	for _, b := range branches {
		job.Connections = append(job.Connections, connection{b.ID, b.Name, "sqlite", filepath.ToSlash(b.Path)})
	}
	for _, d := range []destination{{Type: "excel", FilePath: "{jobName}.xlsx"}, {Type: "csv", FilePath: "{jobName}.csv"}} {
		d.FilePath, d.Mode = filepath.ToSlash(filepath.Join(dir, d.FilePath)), "replace"
		job.Destinations = append(job.Destinations, d)
	}
	data, err := json.MarshalIndent(job, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

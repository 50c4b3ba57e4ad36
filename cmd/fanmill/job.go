package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"fanmill/checkpoint"
	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

func newJobs(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "job",
		Short: "Keep jobs in the store, with their versions, for hosts without the folder",
		Long: `A job that is put into the store needs no folder: fanmill serve --jobs store runs it on every host that has the store, and
fanmill run store:ID here. What is put counts from the next trigger on, everywhere. The last 50 versions are kept.`,
		Example: `  fanmill job put gst.json -m "two more branches"
  fanmill serve --jobs store
  fanmill run store:job_gst_data`,
	}
	c.AddCommand(jobPut(stdout, stderr), jobRollback(stdout, stderr), jobGet(stdout, stderr), jobList(stdout, stderr), jobHistory(stdout, stderr),
		jobDiff(stdout, stderr), jobRemove(stdout, stderr))
	return group(c)
}

type jobPutFlags struct {
	flags
	note string
	over int
}

func jobPut(stdout, stderr io.Writer) *cobra.Command {
	var f jobPutFlags
	c := &cobra.Command{
		Use:   "put FILE...",
		Short: "Put job files into the store, each as a new version of its job",
		Long: `put reads job files as validate does, names everything that is wrong with them, and puts them into the store, byte for byte: all of them, or
none if one is bad. An inventory that a job names is put with it. References ${VAR} and ${file:PATH} stay references; they are looked up
by whoever runs the job. Whatever looks like a secret is refused, in queries, headers and comments, too: the store is read by many.

Of two puts of one job at the same moment one is refused. --if-version N refuses a put also where somebody has put another version since
the one that you edited.`,
		Example: `  fanmill job put gst.json -m "two more branches"
  fanmill job put D:/jobs/*.json
  fanmill job put gst.json --if-version 3`,
		Args: arguments(1, anyNumber),
	}
	f.add(c, storeFlags, logFlags, jsonFlag, jobFlag)
	c.Flags().StringVarP(&f.note, "message", "m", "", "`note` that history shows beside the version")
	c.Flags().IntVar(&f.over, "if-version", -1, "put it only if `N` is the version that counts; 0: only if the store has no such job")
	c.RunE = func(c *cobra.Command, args []string) error { return f.put(c, matching(args), stdout, stderr) }
	return c
}

// jobToPut is a job on its way into the store.
type jobToPut struct {
	path string
	file *config.File
	text *checkpoint.JobText
}

// put puts files, if all are good.
func (f *jobPutFlags) put(c *cobra.Command, paths []string, stdout, stderr io.Writer) error {
	s, err := f.settings(c, "")
	if err != nil {
		return err
	}
	if config.SecretText(f.note) {
		return badLine(c, errors.New("--message looks as if it had a secret in it, and everybody reads it"))
	}
	jobs, err := s.jobsToPut(paths, stderr)
	if err != nil {
		return err
	}
	return s.with(c.Context(), s.log(stderr), func(sys *system) error {
		done, text := []putJob{}, ""
		var errs []error
		for _, j := range jobs {
			p, err := f.putOne(c, checkpoint.NewJobDefinitions(sys.node.Stores.Jobs), j)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", j.path, err))
				continue
			}
			done, text = append(done, p), text+p.said()
		}
		if len(done) > 0 || s.json {
			errs = append(errs, s.say(stdout, done, text))
		}
		return errors.Join(errs...)
	})
}

// jobsToPut reads the files and says what is wrong with any of them.
func (s *settings) jobsToPut(paths []string, stderr io.Writer) (jobs []jobToPut, _ error) {
	bad, from := false, map[string]string{}
	for _, path := range paths {
		file, data, err := config.ReadForStore(path, jobOptions(s.strict, nil))
		if err == nil {
			token := pipeline.Token(file.Job.ID)
			if other := from[token]; other != "" {
				err = fmt.Errorf("%s and %s both have the id %q; put one of them", other, path, file.Job.ID)
			}
			from[token] = path
		}
		if err != nil {
			bad = true
			_ = screen.Message(stderr, err.Error()+"\n")
			continue
		}
		for _, w := range file.Warnings {
			s.log(stderr).Warn(w.String())
		}
		jobs = append(jobs, jobToPut{path, file, jobText(filepath.Base(path), data, file.Inventory())})
	}
	if bad {
		return nil, &exitError{code: exitBadJob}
	}
	return jobs, nil
}

// jobText is a job as the store has it.
func jobText(name string, data []byte, inventory *config.Inventory) *checkpoint.JobText {
	t := &checkpoint.JobText{File: name, Job: checkpoint.NewTextBody(data)}
	if inventory != nil {
		t.Inventory = &checkpoint.Inventory{File: inventory.File, Text: checkpoint.NewTextBody(inventory.Text)}
	}
	return t
}

// putJob is what was put, as --json has it.
type putJob struct {
	Job          string `json:"job"`
	Version      int    `json:"version"`
	Changed      bool   `json:"changed"` // false: it was the same text
	Digest       string `json:"digest"`
	Connections  int    `json:"connections"`
	Destinations int    `json:"destinations"`
	Removed      bool   `json:"-"`
}

func (p *putJob) said() string {
	if !p.Changed {
		return fmt.Sprintf("job %s: it is what version %d says already\n", p.Job, p.Version)
	}
	return fmt.Sprintf("job %s: version %d, %s, %s\n", p.Job, p.Version, screen.Of(int64(p.Connections), "connection"), screen.Of(int64(p.Destinations), "destination"))
}

// putOne puts one job.
func (f *jobPutFlags) putOne(c *cobra.Command, store *checkpoint.JobDefinitions, j jobToPut) (putJob, error) {
	edit, err := store.Edit(c.Context(), j.file.Job.ID)
	if err != nil {
		return putJob{}, err
	}
	if seen := edit.Seen(); f.over >= 0 && seen.Current != f.over {
		return putJob{}, fmt.Errorf("--if-version %d: the version that counts is %s; look at fanmill job diff %s %[1]d", f.over, orNoVersion(seen.Current), shellQuote(seen.Job))
	}
	return putVersion(c, edit, j, f.note)
}

func orNoVersion(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// putVersion makes a text the version that counts.
func putVersion(c *cobra.Command, edit *checkpoint.Edit, j jobToPut, note string) (putJob, error) {
	v := checkpoint.JobVersion{Hand: hand(), Note: note, Name: j.file.Job.Name, Connections: len(j.file.Job.Connections), Destinations: len(j.file.Job.Destinations)}
	n, changed, err := edit.Put(c.Context(), v, j.text)
	if err != nil {
		return putJob{}, err
	}
	digest, err := j.text.Digest()
	return putJob{Job: j.file.Job.ID, Version: n, Changed: changed, Digest: digest, Connections: v.Connections, Destinations: v.Destinations}, err
}

// hand is the user of this process, now.
func hand() checkpoint.Hand {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return checkpoint.Hand{By: name, At: time.Now().UTC()}
}

func jobRollback(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	var note string
	c := &cobra.Command{
		Use:   "rollback JOBID VERSION",
		Short: "Put an old version of a job again, as a new one",
		Long: `rollback makes the text of an old version count again. It becomes a new version: what was put since stays in the history. A job that was
removed is there again.`,
		Example: "  fanmill job rollback job_gst_data 3",
		Args:    arguments(2, 2),
	}
	f.add(c, storeFlags, logFlags, jsonFlag, jobFlag)
	c.Flags().StringVarP(&note, "message", "m", "", "`note` that history shows beside the version")
	c.RunE = func(c *cobra.Command, args []string) error {
		n, err := versionArgument(c, args[1])
		if err != nil {
			return err
		}
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		if config.SecretText(note) {
			return badLine(c, errors.New("--message looks as if it had a secret in it, and everybody reads it"))
		}
		return s.with(c.Context(), s.log(stderr), func(sys *system) error {
			store := checkpoint.NewJobDefinitions(sys.node.Stores.Jobs)
			edit, err := store.Edit(c.Context(), args[0])
			if err != nil {
				return err
			}
			seen := edit.Seen()
			_, v, err := seen.Version(n)
			if err != nil {
				return err
			}
			text, err := store.Text(c.Context(), seen.Job, v)
			if err != nil {
				return err
			}
			stored, err := storedJob(seen.Job, text)
			if err != nil {
				return err
			}
			file, err := config.CheckStored(stored, jobOptions(s.strict, nil))
			if err != nil {
				return &exitError{exitBadJob, err}
			}
			if note == "" {
				note = fmt.Sprintf("version %d again", n)
			}
			p, err := putVersion(c, edit, jobToPut{file: file, text: text}, note)
			if err != nil {
				return err
			}
			return s.say(stdout, p, p.said())
		})
	}
	return c
}

// versionArgument reads the number of a version.
func versionArgument(c *cobra.Command, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, badLine(c, fmt.Errorf("a version is a number from 1, not %q", text))
	}
	return n, nil
}

// storedJob is a version of a job as config reads it.
func storedJob(job string, t *checkpoint.JobText) (out config.Stored, err error) {
	out = config.Stored{Job: job, Name: t.File}
	if out.Text, err = t.Job.Bytes(); err != nil || t.Inventory == nil {
		return out, err
	}
	text, err := t.Inventory.Text.Bytes()
	out.Inventory = &config.Inventory{File: t.Inventory.File, Text: text}
	return out, err
}

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fanmill/checkpoint"

	"fanmill/internal/screen"
	"fanmill/internal/web"
	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// shownFiles is how many files of a destination are listed: with one for each of 1,000 connections a folder is where
// to look.
const shownFiles = 100

// fileCache remembers reports that were read, and files that were compared with theirs, as long as neither changes.
type fileCache struct {
	mu      sync.Mutex
	reports map[string]cachedReport // by path
	sums    map[string]cachedSum
}

type cachedReport struct {
	at   time.Time
	size int64
	head reportHead
}

type cachedSum struct {
	at   time.Time
	size int64
	sum  string
}

// keptFiles bounds each of the two.
const keptFiles = 2000

// reportHead is what a report says of its file.
type reportHead struct {
	Run         string    `json:"run"`
	Destination string    `json:"destination"`
	Length      int64     `json:"committedLength"`
	SHA256      string    `json:"sha256"`
	Updated     time.Time `json:"updated"`
}

// filesOf are the paths of a destination's files, by number; nil if it is no file, or at a place that this process does
// not offer.
func (b *pageBackend) filesOf(d *pipeline.ManifestDestination) []string {
	d, err := b.sys.node.Disks.Here(d)
	if err != nil {
		return nil
	}
	switch {
	case d.Path == "":
		return nil
	case d.Files != nil:
		return d.Files
	}
	return []string{d.Path}
}

// reportOf is where the report on a file of a destination stands.
func reportOf(d *pipeline.ManifestDestination, path string) string {
	kind := sinkKinds()[d.Type]
	return artifact.ReportName(path, kind != nil && kind.Traits.Dataset && d.Files != nil)
}

// fileViews are the files of a destination that it has connections in.
func (b *pageBackend) fileViews(ctx context.Context, m *pipeline.Manifest, d *pipeline.ManifestDestination, v *screen.DestinationView) (files []web.File, more int) {
	files = []web.File{}
	has := map[string]bool{}
	for _, path := range v.Files {
		has[path] = true
	}
	for i, path := range b.filesOf(d) {
		if d.Files != nil && !has[path] || d.Files == nil && v.Connections == 0 {
			continue
		}
		if len(files) == shownFiles || ctx.Err() != nil {
			more++
			continue
		}
		files = append(files, b.fileView(m, d, i, path))
	}
	return files, more
}

// fileView is a file as the report beside it says.
func (b *pageBackend) fileView(m *pipeline.Manifest, d *pipeline.ManifestDestination, number int, path string) web.File {
	f := web.File{Number: number, Path: path, Name: filepath.Base(path)}
	head, err := b.files.report(reportOf(d, path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Why = "it is not on this host, or was moved"
	case err != nil:
		f.Why = err.Error()
	case (head.Run != m.Run || head.Destination != d.ID) && head.Updated.Before(m.Created):
		f.Why = "still as run " + head.Run + " left it"
	case head.Run != m.Run || head.Destination != d.ID:
		f.Why = "run " + head.Run + " has written it since"
	default:
		f.Bytes, f.SHA256, f.At = head.Length, head.SHA256, head.Updated
	}
	return f
}

// report reads the head of a report.
func (c *fileCache) report(path string) (reportHead, error) {
	info, err := os.Stat(path)
	if err != nil {
		return reportHead{}, err
	}
	c.mu.Lock()
	known, ok := c.reports[path]
	c.mu.Unlock()
	if ok && known.size == info.Size() && known.at.Equal(info.ModTime()) {
		return known.head, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return reportHead{}, err
	}
	var head reportHead
	if err := json.Unmarshal(text, &head); err != nil {
		return reportHead{}, fmt.Errorf("the report %s cannot be read", path)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reports == nil || len(c.reports) >= keptFiles {
		c.reports = map[string]cachedReport{}
	}
	c.reports[path] = cachedReport{info.ModTime(), info.Size(), head}
	return head, nil
}

// openTries is how often a file is opened that a commit replaces at the same moment.
const openTries = 4

// Open implements web.Reader. The path is the manifest's, and nothing of the address.
func (b *pageBackend) Open(ctx context.Context, run, destination string, number int) (*web.Content, error) {
	m, err := checkpoint.LoadManifest(ctx, b.sys.node.Stores.Runs, run)
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, web.None("there is no run %q", run)
	}
	if err != nil {
		return nil, err
	}
	d := m.Destination(destination)
	var files []string
	if d != nil {
		files = b.filesOf(d)
	}
	if number < 0 || number >= len(files) {
		return nil, web.None("run %s has no such file", run)
	}
	path := files[number]
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, web.None("%s is not here; %s", path, b.whereElse(ctx, run, d))
	}
	for try := 1; ; try++ {
		view := b.fileView(m, d, number, path)
		if view.Why != "" {
			return nil, web.None("%s cannot be had from here: %s", path, view.Why)
		}
		f, err := b.files.open(path, &view)
		if err == nil {
			return &web.Content{ReadSeekCloser: f, File: view}, nil
		}
		if !errors.Is(err, errOther) || try == openTries || ctx.Err() != nil {
			return nil, err
		}
		time.Sleep(time.Duration(try) * 50 * time.Millisecond)
	}
}

// errOther is a file that is not the one of its report.
var errOther = errors.New("the file is not the one that its report is of")

// open opens a file that has the size and the checksum of its report.
func (c *fileCache) open(path string, view *web.File) (*os.File, error) {
	f, err := artifact.Open(path)
	if err != nil {
		return nil, err
	}
	sum, size, err := c.sum(path, f)
	if err == nil && (size != view.Bytes || sum != view.SHA256) {
		err = fmt.Errorf("%s: %w: somebody has changed it, or a commit is under way", path, errOther)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sum is the SHA-256 of an open file.
func (c *fileCache) sum(path string, f *os.File) (string, int64, error) {
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	c.mu.Lock()
	known, ok := c.sums[path]
	c.mu.Unlock()
	if ok && known.size == info.Size() && known.at.Equal(info.ModTime()) {
		return known.sum, known.size, nil
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", 0, err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sums == nil || len(c.sums) >= keptFiles {
		c.sums = map[string]cachedSum{}
	}
	c.sums[path] = cachedSum{info.ModTime(), n, sum}
	return sum, n, nil
}

// whereElse says on which host a destination was written.
func (b *pageBackend) whereElse(ctx context.Context, run string, d *pipeline.ManifestDestination) string {
	rec, err := b.sys.node.Records.Load(ctx, run, d.ID)
	if err == nil && rec.Host != "" && rec.Host != b.sys.node.Owner.Host {
		return "it was written on the host " + rec.Host
	}
	return "it was moved or removed"
}

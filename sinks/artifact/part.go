package artifact

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"fanmill/pipeline"
)

// PartName names the part file of one query of one attempt. The folder adds the claim's token. The manifest's index
// makes it unique, whatever the id; the id is there for people.
func PartName(connection int, id string, query, attempt int) string {
	return fmt.Sprintf("%d-%.40s.%d.%d", connection, pipeline.Token(id), query, attempt)
}

// Part is a file that grows until it is appended to the artifact. A part is for one goroutine; different parts may be
// written at once. CreatePart, ReopenPart and Discard belong to the artifact's own goroutine.
type Part struct {
	a      *Artifact
	name   string
	f      *os.File // nil when closed; the next Append opens it
	length int64
	named  bool // its name is durable
}

// maxOpenParts is how many part files of this process stay open between two appends. A thousand connections may be
// under way at once; the others' files are opened for each batch, which costs little beside writing it.
const maxOpenParts = 100

var openParts atomic.Int32

// hold takes a file that was opened for the part, and closes it again if there are too many.
func (p *Part) hold(f *os.File) error {
	p.f = f
	if openParts.Add(1) > maxOpenParts {
		return p.Close()
	}
	return nil
}

// CreatePart makes a new, empty part.
func (a *Artifact) CreatePart(name string) (*Part, error) {
	f, err := a.open(a.in(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, a.access)
	if err != nil {
		return nil, a.trouble("create part", a.in(name), err)
	}
	p := &Part{a: a, name: name}
	if err := p.hold(f); err != nil {
		return nil, a.trouble("create part", name, err)
	}
	a.parts[p] = struct{}{}
	return p, nil
}

// ReopenPart continues a recorded part at its recorded length, dropping what follows. One that is shorter has lost
// rows that count as received: that is pipeline.ErrLost, never a file grown by zeros.
func (a *Artifact) ReopenPart(s FileState) (*Part, error) {
	f, err := os.OpenFile(a.in(s.Name), os.O_WRONLY, 0)
	if err != nil {
		return nil, a.trouble("open part", a.in(s.Name), err)
	}
	info, err := f.Stat()
	if err == nil {
		if info.Size() < s.Length {
			_ = f.Close()
			return nil, a.lost("part file %s holds %d bytes, %d are recorded", s.Name, info.Size(), s.Length)
		}
		err = f.Truncate(s.Length)
	}
	if err != nil {
		_ = f.Close()
		return nil, a.trouble("open part", a.in(s.Name), err)
	}
	p := &Part{a: a, name: s.Name, length: s.Length, named: true}
	if err := p.hold(f); err != nil {
		return nil, a.trouble("open part", s.Name, err)
	}
	a.parts[p] = struct{}{}
	return p, nil
}

// Append writes b at the part's end.
func (p *Part) Append(b []byte) error {
	if p.f == nil {
		f, err := os.OpenFile(p.a.in(p.name), os.O_WRONLY, 0)
		if err != nil {
			return p.a.trouble("open part", p.name, err)
		}
		p.f = f
		openParts.Add(1)
	}
	n, err := p.f.WriteAt(b, p.length)
	p.length += int64(n)
	if err == nil && openParts.Load() > maxOpenParts {
		err = p.Close()
	}
	return p.a.trouble("write part", p.name, err)
}

// Length is what was appended, in bytes.
func (p *Part) Length() int64 { return p.length }

// Sync makes everything appended durable and describes it, also after Close.
func (p *Part) Sync() (FileState, error) {
	f := p.f
	if f == nil {
		var err error
		if f, err = os.OpenFile(p.a.in(p.name), os.O_WRONLY, 0); err != nil {
			return FileState{}, p.a.trouble("sync part", p.name, err)
		}
		defer f.Close()
	}
	if err := f.Sync(); err != nil {
		return FileState{}, p.a.trouble("sync part", p.name, err)
	}
	if !p.named {
		if err := syncDir(p.a.dir); err != nil {
			return FileState{}, p.a.trouble("sync part", p.name, err)
		}
		p.named = true
	}
	return FileState{p.name, p.length}, nil
}

// Open reads the part from its start, also after Close. Its size is checked first: not a byte may be missing or added.
func (p *Part) Open() (*os.File, error) {
	f, err := os.Open(p.a.in(p.name))
	if err != nil {
		return nil, p.a.trouble("open part", p.name, err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != p.length {
		err = pipeline.Permanent(fmt.Errorf("part file %s holds %d bytes, %d were written", p.a.in(p.name), info.Size(), p.length))
	}
	if err != nil {
		_ = f.Close()
		return nil, p.a.trouble("open part", p.name, err)
	}
	return f, nil
}

// CopyTo writes all of the part to w, through buf.
func (p *Part) CopyTo(w io.Writer, buf []byte) error {
	f, err := p.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	// Without its WriteTo, which would use a small buffer of its own.
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, buf)
	if err == nil && n != p.length {
		err = pipeline.Permanent(fmt.Errorf("part file %s gave %d bytes, %d were written", p.a.in(p.name), n, p.length))
	}
	return err
}

// Close gives up the file handle. What was appended can still be read.
func (p *Part) Close() error {
	if p.f == nil {
		return nil
	}
	openParts.Add(-1)
	err := p.f.Close()
	p.f = nil
	return err
}

// Discard closes the part and removes its file. The caller has seen to it that no commit record references it.
func (p *Part) Discard() error {
	_ = p.Close()
	delete(p.a.parts, p)
	if err := os.Remove(p.a.in(p.name)); err != nil && !os.IsNotExist(err) {
		return p.a.trouble("remove part", p.name, err)
	}
	return nil
}

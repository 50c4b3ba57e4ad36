package dedupe

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"

	"fanmill/pipeline"
)

// SentKeys is a file with the keys of all rows that one round kept. It is complete and on the disk before it has its
// name. The same rows make the same bytes, so that a Run that is repeated may save over what it saved before.
//
// The file is a line of JSON, which says how the keys were made; each key with its length before it; the length 0; the
// number of keys, in 8 bytes; the SHA-256 of all that, in 32 bytes.
type SentKeys struct {
	Path   string `json:"path"`
	Keys   int64  `json:"keys"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // that of the file's end, in hexadecimal; "" where a reader does not know
}

// sentHeading is the first line of such a file. Keys can be compared if it is the same; of whole rows, too, if columns
// were added at the end.
type sentHeading struct {
	Format  string      `json:"format"`
	Form    int         `json:"form"` // FormVersion
	Zone    string      `json:"zone"` // of instants in columns of texts
	Queries []sentQuery `json:"queries"`
}

type sentQuery struct {
	Keys    bool         `json:"keys"` // false: the whole row
	Columns []sentColumn `json:"columns"`
}

type sentColumn struct {
	Name string `json:"name"`
	As   string `json:"as"`
}

const (
	sentFormat   = "fanmill sent keys 1"
	sentTrailer  = 8 + sha256.Size
	mostHeading  = 16 << 20 // bytes; a query of 10,000 columns has one of a megabyte
	sentBufBytes = 64 << 10
)

func headingOf(forms []*Form) sentHeading {
	h := sentHeading{Format: sentFormat, Form: FormVersion}
	for _, f := range forms {
		q := sentQuery{Keys: f.keys}
		for _, c := range f.columns {
			q.Columns = append(q.Columns, sentColumn{f.query.Columns[c.at].Name, formKindNames[c.as]})
		}
		h.Zone, h.Queries = f.zone, append(h.Queries, q)
	}
	return h
}

// fits reports why keys with this heading cannot be compared with those of now; "" if they can.
func (h *sentHeading) fits(now sentHeading) string {
	switch {
	case h.Format != now.Format:
		return fmt.Sprintf("it is of the format %q, and this version of fanmill reads %q", h.Format, now.Format)
	case h.Form != now.Form:
		return fmt.Sprintf("version %d of the normal form made its keys, this version of fanmill has %d", h.Form, now.Form)
	case h.Zone != now.Zone:
		return fmt.Sprintf("its keys are of the time zone %s, now it is %s", h.Zone, now.Zone)
	case len(h.Queries) != len(now.Queries):
		return fmt.Sprintf("it has keys of %d queries, now there are %d", len(h.Queries), len(now.Queries))
	}
	for i, q := range h.Queries {
		is := now.Queries[i]
		if q.Keys != is.Keys || len(q.Columns) > len(is.Columns) || q.Keys && len(q.Columns) < len(is.Columns) {
			return fmt.Sprintf("query %d had other keys or columns then", i)
		}
		for c, was := range q.Columns {
			if was != is.Columns[c] {
				return fmt.Sprintf("query %d: column %q, compared as %s, is now %q, compared as %s", i, was.Name, was.As, is.Columns[c].Name, is.Columns[c].As)
			}
		}
	}
	return ""
}

// sentWriter writes such a file.
type sentWriter struct {
	ctx  context.Context
	dir  *folder
	path string
	f    *os.File
	buf  []byte
	sum  hash.Hash
	keys int64
	size int64
}

func createSent(ctx context.Context, path string, h sentHeading, dir *folder) (*sentWriter, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, trouble("dedupe: save keys", err)
	}
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, trouble("dedupe: save keys", err)
	}
	w := &sentWriter{ctx: ctx, dir: dir, path: path, f: f, sum: sha256.New(), buf: make([]byte, 0, sentBufBytes)}
	w.buf = append(append(w.buf, line...), '\n')
	return w, nil
}

func (w *sentWriter) add(key []byte) error {
	w.keys++
	w.buf = append(binary.AppendUvarint(w.buf, uint64(len(key))), key...)
	if len(w.buf) < sentBufBytes {
		return nil
	}
	return w.flush()
}

func (w *sentWriter) flush() error {
	w.sum.Write(w.buf)
	return w.write()
}

func (w *sentWriter) write() error {
	if err := w.dir.write(w.f, w.buf); err != nil {
		return err
	}
	w.size += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// commit gives the file its name.
func (w *sentWriter) commit() (s SentKeys, err error) {
	w.buf = le.AppendUint64(append(w.buf, 0), uint64(w.keys))
	if err := w.flush(); err != nil {
		return s, err
	}
	w.buf = w.sum.Sum(w.buf)
	s = SentKeys{Path: w.path, Keys: w.keys, SHA256: hex.EncodeToString(w.buf)}
	if err := w.write(); err != nil {
		return s, err
	}
	s.Bytes = w.size
	err = w.f.Sync()
	err = errors.Join(err, w.f.Close())
	if w.f = nil; err == nil {
		if err = os.Rename(w.path+".tmp", w.path); err == nil {
			err = syncFolder(filepath.Dir(w.path))
		}
	}
	if err != nil {
		return s, trouble("dedupe: save keys", err)
	}
	w.dir.pass(w.size)
	return s, nil
}

// abandon removes what is not complete.
func (w *sentWriter) abandon() {
	if w.f != nil {
		_ = w.f.Close()
	}
	_ = os.Remove(w.path + ".tmp") // a Run that comes later truncates it
}

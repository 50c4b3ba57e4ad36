package dedupe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
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

// readSent calls f for every key of a file, and returns an error if the file is not exactly what was saved; what f was
// told counts for nothing then.
func readSent(ctx context.Context, s SentKeys, now sentHeading, f func(key []byte) error) error {
	file, err := os.Open(s.Path)
	if err != nil {
		return trouble("dedupe: the keys of the rows that were sent", err)
	}
	defer file.Close()
	r := &sentReader{ctx: ctx, file: file, sum: sha256.New(), buf: bufio.NewReaderSize(nil, sentBufBytes)}
	r.buf.Reset(r)
	why, err := r.all(s, now, f)
	if err != nil {
		return err
	}
	if why != "" {
		return pipeline.Permanent(fmt.Errorf("dedupe: %s, the keys of the rows that were sent: %s; start over, or the receiver gets rows again", s.Path, why))
	}
	return nil
}

// sentReader sums what is read, but for the last bytes, which are the sum.
type sentReader struct {
	ctx  context.Context
	file *os.File
	buf  *bufio.Reader
	sum  hash.Hash
	left int64 // bytes to be summed
}

func (r *sentReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	summed := min(int64(n), r.left)
	r.sum.Write(p[:summed])
	r.left -= summed
	return n, err
}

// all reads everything. why says what is wrong with the file.
func (r *sentReader) all(s SentKeys, now sentHeading, f func(key []byte) error) (why string, err error) {
	info, err := r.file.Stat()
	if err != nil {
		return "", trouble("dedupe: the keys of the rows that were sent", err)
	}
	r.left = max(info.Size()-sha256.Size, 0)
	if s.Bytes != 0 && info.Size() != s.Bytes {
		return fmt.Sprintf("it has %d bytes, %d were saved", info.Size(), s.Bytes), nil
	}
	if why, err := r.heading(now); why != "" || err != nil {
		return why, err
	}
	keys, why, err := r.keys(info.Size(), f)
	if why != "" || err != nil {
		return why, err
	}
	var end [sentTrailer]byte
	if _, err := io.ReadFull(r.buf, end[:]); err != nil {
		return cut(err)
	}
	sum := end[8:]
	switch {
	case r.buf.Buffered() > 0 || r.left != 0:
		return "something follows its end", nil
	case !bytes.Equal(r.sum.Sum(nil), sum):
		return "its bytes are not those that were saved: the SHA-256 differs", nil
	case s.SHA256 != "" && s.SHA256 != hex.EncodeToString(sum):
		return "it is not the file that was recorded: the SHA-256 differs", nil
	case le.Uint64(end[:]) != uint64(keys):
		return "it has another number of keys than it says", nil
	}
	return "", nil
}

func (r *sentReader) heading(now sentHeading) (why string, err error) {
	var line []byte
	for {
		part, err := r.buf.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return cut(err)
		}
		if len(line) > mostHeading {
			return "it is no file of keys", nil
		}
	}
	var h sentHeading
	if err := json.Unmarshal(line, &h); err != nil {
		return "it is no file of keys", nil
	}
	return h.fits(now), nil
}

// keys reads up to the length 0.
func (r *sentReader) keys(size int64, f func(key []byte) error) (keys int64, why string, err error) {
	var key []byte
	for {
		n, err := binary.ReadUvarint(r.buf)
		if err != nil {
			why, err := cut(err)
			return 0, why, err
		}
		if n == 0 {
			return keys, "", nil
		}
		if n > uint64(size) {
			return 0, "its bytes are not those that were saved", nil
		}
		if uint64(cap(key)) < n {
			key = make([]byte, n)
		}
		if _, err := io.ReadFull(r.buf, key[:n]); err != nil {
			why, err := cut(err)
			return 0, why, err
		}
		if err := f(key[:n]); err != nil {
			return 0, "", err
		}
		keys++
	}
}

// cut says what is wrong with a file that could not be read on; errors of the system, and of the context, are not the
// file's.
func cut(err error) (why string, _ error) {
	var system *fs.PathError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends early", nil
	case errors.As(err, &system) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return "", trouble("dedupe: the keys of the rows that were sent", err)
	default:
		return "its bytes are not those that were saved", nil
	}
}

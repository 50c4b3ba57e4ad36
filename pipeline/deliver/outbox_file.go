package deliver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"fanmill/pipeline/durable"

	"fanmill/pipeline"
)

// outboxName is the outbox's file in the claim's folder.
const outboxName = "outbox"

// outboxFile is the outbox on its disk. A line is its checksum, a blank, JSON, a line break; it counts when it is
// whole.
type outboxFile struct {
	*outbox
	path string
	file *os.File
}

// openOutbox reads the outbox of a claim and goes on with it. recorded is the length that the last record names.
//
// Lines after that are of a claim that ended between a write and its record. What they say of requests that are
// recorded is true: an answer was given. A staging among them was never sent, and is dropped with its rows still
// waiting, unless one of its requests was tried: then its record was written, and the store has forgotten that, as one
// does that came back from a backup.
func openOutbox(dir string, recorded int64) (*outboxFile, error) {
	o := &outboxFile{outbox: newOutbox(), path: filepath.Join(dir, outboxName)}
	text, err := os.ReadFile(o.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if int64(len(text)) < recorded {
		return nil, fmt.Errorf("%s has %d bytes, %d are recorded: %w", o.path, len(text), recorded, pipeline.ErrLost)
	}
	lines, ends := readLines(text)
	var later []outboxLine
	for i, l := range lines {
		if ends[i] <= recorded {
			o.take(l)
			o.length = ends[i]
		} else {
			later = append(later, l)
		}
	}
	if o.length < recorded {
		return nil, fmt.Errorf("%s is damaged after byte %d: %w", o.path, o.length, pipeline.ErrLost)
	}
	later = sent(later)
	if o.file, err = os.OpenFile(o.path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	err = o.file.Truncate(o.length)
	if err == nil {
		_, err = o.file.Seek(o.length, 0)
	}
	if err == nil && len(text) == 0 {
		err = durable.SyncDir(dir)
	}
	if err == nil && len(later) > 0 {
		err = o.write(later...)
	}
	if err != nil {
		return nil, errors.Join(err, o.file.Close())
	}
	return o, nil
}

// sent leaves out the stagings of which nothing was tried.
func sent(lines []outboxLine) (kept []outboxLine) {
	tried := map[int]bool{}
	for _, l := range lines {
		if l.Try != nil {
			tried[l.Try.Number] = true
		}
	}
	for _, l := range lines {
		if l.Stage != nil {
			any := false
			for _, r := range l.Stage.Requests {
				any = any || tried[r.Number]
			}
			if !any {
				continue
			}
		}
		kept = append(kept, l)
	}
	return kept
}

// readLines reads the whole lines of an outbox; ends are where they end.
func readLines(text []byte) (lines []outboxLine, ends []int64) {
	for at := 0; ; {
		n := bytes.IndexByte(text[at:], '\n')
		if n < 0 {
			return lines, ends
		}
		sum, body, ok := bytes.Cut(text[at:at+n], []byte(" "))
		want, err := strconv.ParseUint(string(sum), 16, 64)
		var l outboxLine
		if !ok || err != nil || xxhash.Sum64(body) != want || json.Unmarshal(body, &l) != nil {
			return lines, ends
		}
		at += n + 1
		lines, ends = append(lines, l), append(ends, int64(at))
	}
}

// write appends lines. They are on the disk when it returns nil.
func (o *outboxFile) write(lines ...outboxLine) error {
	var text bytes.Buffer
	for _, l := range lines {
		body, err := json.Marshal(l)
		if err != nil {
			return pipeline.Permanent(err)
		}
		fmt.Fprintf(&text, "%016x %s\n", xxhash.Sum64(body), body)
	}
	_, err := o.file.WriteAt(text.Bytes(), o.length)
	if err == nil {
		err = o.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", o.path, err)
	}
	o.length += int64(text.Len())
	for _, l := range lines {
		o.take(l)
	}
	return nil
}

func (o *outboxFile) close() error { return o.file.Close() }

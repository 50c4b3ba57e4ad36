// Package dead keeps requests that their receiver will not take, or of which nobody knows whether it took them. Their
// bytes outlive the run that made them, and its spool, until somebody drops them.
//
//	<data>/dead/<key>/letter.json   what it is, and what the receiver said
//	<data>/dead/<key>/body          the bytes as they go over the wire
//
// A letter's folder appears whole, and goes whole. Its body is never changed.
package dead

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline/durable"
	"fanmill/pipeline/spool"
)

// Folder is where letters are kept.
type Folder struct{ Dir string }

// Letter is one dead request.
type Letter struct {
	Key         string       `json:"key"` // of the request: the receiver goes by it
	Job         string       `json:"job"`
	Run         string       `json:"run"`
	Birth       string       `json:"birth,omitempty"` // of the run
	Epoch       uint64       `json:"epoch,omitempty"` // of the claim that sent it
	Destination string       `json:"destination"`
	Type        string       `json:"type"`  // of the destination
	Where       string       `json:"where"` // it goes to, in words, without secrets
	Number      int          `json:"number"`
	Round       int          `json:"round"`
	Connection  string       `json:"connection,omitempty"` // whose rows alone it has; "" for those of several, or none
	Rows        int64        `json:"rows"`
	Length      int64        `json:"length"` // of the body, in bytes
	SHA256      string       `json:"sha256"` // of the body, hexadecimal
	ContentType string       `json:"contentType,omitempty"`
	Encoding    string       `json:"contentEncoding,omitempty"`
	Status      int          `json:"status,omitempty"` // of the receiver's answer
	Error       string       `json:"error"`
	Answer      string       `json:"answer,omitempty"` // what the receiver said: bounded, printable, without secrets
	Time        time.Time    `json:"time"`
	Unknown     bool         `json:"unknown,omitempty"`  // the receiver may have taken it
	Bodiless    bool         `json:"bodiless,omitempty"` // its bytes are gone
	Place       *spool.Place `json:"place,omitempty"`    // the disk of the spool whose record knows of it
}

const (
	letterName = "letter.json"
	// BodyName is the file of the bytes in a letter's folder.
	BodyName = "body"
)

// Put keeps a letter. All of it is on the disk when it returns nil. A letter that is there already keeps its body, and
// gets the newer answer. body may be nil, of one whose bytes are gone. fresh reports whether it was not there.
func (f *Folder) Put(l Letter, body io.Reader) (fresh bool, err error) {
	if !sound(l.Key) {
		return false, fmt.Errorf("keep a dead request: %q is no key", l.Key)
	}
	l.Bodiless = body == nil
	if known, err := f.load(l.Key); err == nil {
		l.Bodiless = known.Bodiless
		return false, f.write(f.path(l.Key), l)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return false, err
	}
	half := filepath.Join(f.Dir, "."+l.Key) // what a crash leaves of it the next try removes
	if err := errors.Join(os.RemoveAll(half), os.RemoveAll(f.path(l.Key))); err != nil {
		return false, err
	}
	if err := os.Mkdir(half, 0o700); err != nil {
		return false, err
	}
	if body != nil {
		err = f.copy(filepath.Join(half, BodyName), l, body)
	}
	if err == nil {
		err = f.write(half, l)
	}
	if err == nil {
		err = os.Rename(half, f.path(l.Key))
	}
	if err == nil {
		err = durable.SyncDir(f.Dir)
	}
	if err != nil {
		return false, errors.Join(fmt.Errorf("keep dead request %s: %w", l.Key, err), os.RemoveAll(half))
	}
	return true, nil
}

// copy writes the body, and compares it with its checksum.
func (f *Folder) copy(path string, l Letter, body io.Reader) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), body)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != l.SHA256 {
		return fmt.Errorf("%w: their checksum is %s", ErrDamaged, got)
	}
	return nil
}

// ErrDamaged is a body that is not the one that was recorded.
var ErrDamaged = errors.New("the bytes of the request are not those that were recorded")

func (f *Folder) write(dir string, l Letter) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, letterName), append(text, '\n'), 0o600)
}

// Update replaces what is known of a letter that is there.
func (f *Folder) Update(l Letter) error {
	if _, err := f.load(l.Key); err != nil {
		return err
	}
	return f.write(f.path(l.Key), l)
}

// List returns the letters of a job, or of all if job is "", the oldest first.
func (f *Folder) List(job string) (all []Letter, _ error) {
	keys, err := f.keys("")
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		l, err := f.load(key)
		if errors.Is(err, os.ErrNotExist) { // it was dropped in this moment
			continue
		}
		if err != nil {
			return nil, err
		}
		if job == "" || l.Job == job {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b Letter) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Number, b.Number), strings.Compare(a.Key, b.Key))
	})
	return all, nil
}

// Find returns the letter whose key begins like this, the only one.
func (f *Folder) Find(prefix string) (Letter, error) {
	prefix = strings.ToLower(prefix)
	keys, err := f.keys(prefix)
	switch {
	case err != nil:
		return Letter{}, err
	case prefix == "" || len(keys) == 0:
		return Letter{}, fmt.Errorf("there is no dead request %q; fanmill dead ls lists what there is", prefix)
	case len(keys) > 1:
		return Letter{}, fmt.Errorf("the keys of %d dead requests begin with %q; write more of it", len(keys), prefix)
	}
	return f.load(keys[0])
}

// keys are the keys of the letters that begin like this, in order.
func (f *Folder) keys(prefix string) (keys []string, _ error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() && sound(e.Name()) && strings.HasPrefix(e.Name(), prefix) {
			keys = append(keys, e.Name())
		}
	}
	return keys, nil
}

func (f *Folder) load(key string) (l Letter, _ error) {
	path := filepath.Join(f.path(key), letterName)
	text, err := os.ReadFile(path)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(text, &l); err != nil || l.Key != key {
		return l, fmt.Errorf("%s cannot be read as the letter of its folder; move the folder away, or remove it", path)
	}
	return l, nil
}

// Body opens a letter's bytes.
func (f *Folder) Body(key string) (*os.File, error) {
	return os.Open(filepath.Join(f.path(key), BodyName))
}

// Path is the folder of a letter.
func (f *Folder) Path(key string) string { return f.path(key) }

func (f *Folder) path(key string) string { return filepath.Join(f.Dir, key) }

// Remove removes a letter, at once. Calling it again changes nothing.
func (f *Folder) Remove(key string) error {
	if !sound(key) {
		return nil
	}
	gone := filepath.Join(f.Dir, ".gone-"+key)
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(f.path(key), gone); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("remove dead request %s: %w", key, err)
	}
	return errors.Join(os.RemoveAll(gone), durable.SyncDir(f.Dir))
}

// Bytes is how much all letters take, as far as can be seen.
func (f *Folder) Bytes() (n int64) {
	all, err := f.List("")
	if err != nil {
		return 0
	}
	for _, l := range all {
		if !l.Bodiless {
			n += l.Length
		}
	}
	return n
}

// sound reports whether a text can be a key, and so a folder's name: requestKey makes keys in Base32.
func sound(key string) bool {
	return len(key) >= 8 && len(key) <= 64 && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

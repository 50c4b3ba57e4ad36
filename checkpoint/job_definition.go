package checkpoint

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// JobDefinition is a job in the store: which version of it counts, and which there were. It stands beside the job as it
// was last served or run, which is for people: one is what was asked for, the other what came of it.
type JobDefinition struct {
	Job     string `json:"job"`
	Current int    `json:"current"`           // the version that counts; 0 if the job was removed
	Newest  int    `json:"newest"`            // the highest number that was given away; none is given twice
	Removed *Hand  `json:"removed,omitempty"` // who removed the job, and when; nil if it is there
	// Versions are those that are kept, by number. As entries of a map, what a later version of fanmill says of one stays.
	Versions map[string]JobVersion `json:"versions"`
}

// Hand is who did something, and when by their clock.
type Hand struct {
	By string    `json:"by"` // user@host
	At time.Time `json:"at"`
}

// JobVersion is what is known of a version without reading its text.
type JobVersion struct {
	Hand
	Text         string `json:"text"`   // the last part of the key of its JobText; no other version has it
	Digest       string `json:"digest"` // of the text and the inventory
	Note         string `json:"note,omitempty"`
	Name         string `json:"name"`
	Connections  int    `json:"connections"`
	Destinations int    `json:"destinations"`
}

// KeptVersions is how many versions of a job the store keeps.
const KeptVersions = 50

func (d *JobDefinition) sound() error {
	if d.Job == "" {
		return errors.New("it names no job")
	}
	for number, v := range d.Versions {
		if n, err := strconv.Atoi(number); err != nil || n < 1 || n > d.Newest || v.Text == "" {
			return fmt.Errorf("it has a version %q", number)
		}
	}
	if len(d.Versions) == 0 {
		return errors.New("it has no version")
	}
	if _, ok := d.Versions[strconv.Itoa(d.Current)]; !ok && d.Current != 0 {
		return fmt.Errorf("it has no version %d", d.Current)
	}
	return nil
}

// Numbers are those of the versions that are kept, the newest first.
func (d *JobDefinition) Numbers() []int {
	var all []int
	for number := range d.Versions {
		n, _ := strconv.Atoi(number) // sound has seen to it
		all = append(all, n)
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// Version is what is known of a version. 0 is the one that counts.
func (d *JobDefinition) Version(n int) (int, JobVersion, error) {
	if n == 0 {
		n = d.Current
	}
	v, ok := d.Versions[strconv.Itoa(n)]
	switch {
	case n == 0:
		return n, v, fmt.Errorf("job %s was removed from the store by %s on %s; fanmill job rollback %s %d puts its last version again", d.Job, d.Removed.by(), d.Removed.on(), d.Job, d.Newest)
	case !ok:
		return n, v, fmt.Errorf("job %s has no version %d in the store; fanmill job history %s lists those that it has", d.Job, n, d.Job)
	}
	return n, v, nil
}

func (h *Hand) by() string {
	if h == nil {
		return "somebody"
	}
	return h.By
}

func (h *Hand) on() string {
	if h == nil {
		return "a day that is not known"
	}
	return h.At.UTC().Format("2006-01-02 15:04 UTC")
}

// Add makes v the version that counts, and forgets the oldest of more than KeptVersions. It returns the number.
func (d *JobDefinition) Add(v JobVersion) int {
	d.Versions = maps.Clone(d.Versions) // Document.Change: what was read stays as it is
	if d.Versions == nil {
		d.Versions = map[string]JobVersion{}
	}
	d.Newest++
	d.Current, d.Removed = d.Newest, nil
	d.Versions[strconv.Itoa(d.Current)] = v
	for _, n := range d.Numbers()[min(len(d.Versions), KeptVersions):] {
		delete(d.Versions, strconv.Itoa(n))
	}
	return d.Current
}

// Remove has no version count any more. What there was stays.
func (d *JobDefinition) Remove(by Hand) { d.Current, d.Removed = 0, &by }

// JobText is a version of a job as it was put, byte for byte. It is written once, before the JobDefinition names it,
// and never changed.
type JobText struct {
	File      string     `json:"file"` // name of the file that it was put from
	Job       TextBody   `json:"text"`
	Inventory *Inventory `json:"inventory,omitempty"`
}

// Inventory is the inventory that a version of a job was put with.
type Inventory struct {
	File string   `json:"file"` // as the job spells it
	Text TextBody `json:"text"`
}

// TextBody is a file's text: as it stands, or packed where it is long or no UTF-8.
type TextBody struct {
	Plain  string `json:"plain,omitempty"`
	Packed []byte `json:"gzip,omitempty"`
}

const (
	plainBytes = 128 << 10 // up to which a text can be read in the store with other tools
	// maxTextBytes bounds a JobText as it is stored: NATS servers take messages of 1 MiB unless told otherwise.
	maxTextBytes = 960 << 10
	maxUnpacked  = 64 << 20
)

// NewTextBody packs a text where it has to be.
func NewTextBody(data []byte) TextBody {
	if len(data) <= plainBytes && utf8.Valid(data) {
		return TextBody{Plain: string(data)}
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // a buffer takes everything
	_ = w.Close()
	return TextBody{Packed: b.Bytes()}
}

// Bytes is the text, byte for byte.
func (b TextBody) Bytes() ([]byte, error) {
	if b.Packed == nil {
		return []byte(b.Plain), nil
	}
	r, err := gzip.NewReader(bytes.NewReader(b.Packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err == nil && len(data) > maxUnpacked {
		err = fmt.Errorf("it has more than %d MB", maxUnpacked>>20)
	}
	return data, err
}

// Digest is the SHA-256 over file, text and inventory.
func (t *JobText) Digest() (string, error) {
	parts := [][]byte{[]byte(t.File)}
	text, err := t.Job.Bytes()
	if err != nil {
		return "", err
	}
	parts = append(parts, text)
	if t.Inventory != nil {
		if text, err = t.Inventory.Text.Bytes(); err != nil {
			return "", err
		}
		parts = append(parts, []byte(t.Inventory.File), text)
	}
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

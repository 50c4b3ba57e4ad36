package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// NewRunID makes a name of a run: one that sorts by time and is legible in stream names and logs.
func NewRunID(now time.Time) string {
	return now.UTC().Format("20060102-150405-") + NewToken()[:6]
}

// RunID names the run that a trigger asks for: the publisher's Msg-Id where it gave one, else the message's place in
// the stream. A redelivered trigger so finds the run that it began.
func RunID(msg *Message) string {
	if msg.MsgID != "" {
		return msg.MsgID
	}
	return fmt.Sprintf("%s-%d", msg.Stored.UTC().Format("20060102-150405"), msg.Sequence)
}

// MaxRunID bounds the ids of runs, in bytes: they name streams and files.
const MaxRunID = 100

// devices are the names that Windows takes for a device, whatever follows behind a dot; and COM and LPT with a digit.
var devices = []string{"CON", "PRN", "AUX", "NUL"}

// ErrBadID marks an id that a run cannot have: keys, streams and files have it in their names, or it is another job's.
var ErrBadID = errors.New("bad id of a run")

// CheckRunID reports why an id that somebody chose cannot be a run's.
func CheckRunID(id string) error {
	stem := strings.TrimRight(strings.ToUpper(id), "0123456789")
	digits := len(id) - len(stem)
	switch {
	case id == "":
		return BadRunID("the id of a run cannot be empty")
	case id == JobKeys, id == ProcessKeys, id == NoticeKeys, id == RoomKeys, slices.Contains(devices, stem) && digits == 0, (stem == "COM" || stem == "LPT") && digits == 1:
		return BadRunID("the id of a run cannot be %q; choose another", id)
	case Token(id) != id:
		return BadRunID("the id of a run has letters, digits, _ and - only; choose another than %q", id)
	case len(id) > MaxRunID:
		return BadRunID("the id of a run is too long: %d characters, at most %d", len(id), MaxRunID)
	}
	return nil
}

// BadRunID is a permanent ErrBadID.
func BadRunID(format string, args ...any) error {
	return Permanent(OfKind(ErrBadID, fmt.Errorf(format, args...)))
}

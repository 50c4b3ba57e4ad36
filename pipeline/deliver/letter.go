package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"fanmill/pipeline/dead"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// maxAnswerBytes bounds what is kept of a receiver's answer.
const maxAnswerBytes = 4 << 10

// bury keeps a request that is a letter: its bytes must outlive the run and its spool. All of it is on the disk when it
// returns nil; only then may the outbox call it a letter.
func (v *delivery) bury(l *pipeline.Letter) error {
	if v.d.Dead == nil {
		return nil
	}
	r := &v.outbox.requests[l.Number-1]
	d := dead.Letter{Key: r.Key, Job: v.m.JobID, Run: v.m.Run, Birth: v.m.Birth, Epoch: v.claim.Record().Epoch, Destination: v.dest.ID, Type: v.dest.Type, Where: v.dest.Where(),
		Number: r.Number, Round: r.Round, Connection: v.connectionOf(l.Number), Rows: r.Rows, Length: r.Length, SHA256: r.SHA256, ContentType: r.Type, Encoding: r.Encoding,
		Status: l.Status, Error: l.Error, Answer: shortened(l.Answer), Time: l.At, Unknown: l.Unknown, Place: &v.place}
	fresh, err := v.keepLetter(&d, r)
	if err != nil {
		return err
	}
	if fresh && !d.Bodiless {
		v.d.Spool.Space.Force(r.Length)
	}
	if v.d.Post == nil {
		return nil
	}
	text, err := json.Marshal(d)
	if err == nil {
		err = v.d.Post(pipeline.TopicDeadRequest(v.m.JobID), d.Key, text)
	}
	if err != nil { // it is for people: the folder is what counts
		v.log.Warn("a dead request is kept, and its message was not stored", "error", err)
	}
	return nil
}

// keepLetter writes the letter, with the bytes of its request if they are still there.
func (v *delivery) keepLetter(d *dead.Letter, r *pipeline.WireRequest) (fresh bool, err error) {
	file, err := os.Open(filepath.Join(v.spool.Dir(), r.File))
	if errors.Is(err, os.ErrNotExist) {
		d.Bodiless = true
		return v.d.Dead.Put(*d, nil)
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	fresh, err = v.d.Dead.Put(*d, io.NewSectionReader(file, r.Offset, r.Length))
	if errors.Is(err, dead.ErrDamaged) {
		d.Bodiless, d.Error = true, d.Error+"; "+dead.ErrDamaged.Error()
		return v.d.Dead.Put(*d, nil)
	}
	return fresh, err
}

// shortened is a text of at most maxAnswerBytes.
func shortened(text string) string {
	if len(text) <= maxAnswerBytes {
		return text
	}
	cut := maxAnswerBytes
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// obey takes over what people have decided on letters, which the record says. Each step can be repeated: a request that
// is to be sent again is pending in the outbox before the record forgets the decision, and one that is given up stays
// so.
func (v *delivery) obey(rec *checkpoint.CommitRecord) error {
	var lines []outboxLine
	for _, n := range rec.Replays {
		if _, is := v.outbox.letters[n]; is {
			lines = append(lines, outboxLine{Again: &n})
		}
	}
	for _, n := range rec.Drops {
		if _, is := v.outbox.letters[n]; is {
			lines = append(lines, outboxLine{Drop: &n})
		}
	}
	if len(lines) > 0 {
		if err := v.outbox.write(lines...); err != nil {
			return err
		}
	}
	for n := range v.outbox.dropped {
		if err := v.forget(n); err != nil {
			return err
		}
	}
	for n := range v.outbox.replayed {
		if v.outbox.receipts[n] {
			if err := v.forget(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget removes a letter that is none any more.
func (v *delivery) forget(number int) error {
	if v.d.Dead == nil {
		return nil
	}
	return v.d.Dead.Remove(v.outbox.requests[number-1].Key)
}

// blameDropped keeps why connections are not delivered whose requests were given up.
func (v *delivery) blameDropped(ctx context.Context, rec *checkpoint.CommitRecord) error {
	for i, n := range v.outbox.givenUp() {
		if _, sealed := rec.Sealed[i]; !sealed {
			continue
		}
		id, why := v.m.Connections[i].ID, fmt.Sprintf("request %d, which has its rows, was refused and then dropped by hand", n)
		v.setReason(id, why)
		if err := v.d.Records.SetError(ctx, v.m.Run, v.dest.ID, id, why); err != nil {
			return err
		}
	}
	return nil
}

// account brings a record in line with the outbox.
func (v *delivery) account(r *checkpoint.CommitRecord) {
	o := checkpoint.Outbox{Length: v.outbox.length, GivenUp: v.outbox.givenUp(), Refused: v.outbox.refused()}
	if len(v.outbox.requests) > 0 {
		o.Sum = v.outbox.sum()
	}
	r.Account(o)
}

// connectionOf is the id of the connection whose rows alone a request has; "" if it has those of others, or none.
func (v *delivery) connectionOf(number int) string {
	r := &v.outbox.requests[number-1]
	if r.Closing || r.Connection == pipeline.OfAll {
		return ""
	}
	return v.m.Connections[r.Connection].ID
}

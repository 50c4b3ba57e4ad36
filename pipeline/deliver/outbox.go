package deliver

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

// requestKey makes the key of a request. It has the bytes' checksum in it, so one key never stands for other bytes; and
// the store and the run's random birth, so that two stores, or two runs of one name, never meet in a key.
func requestKey(store, birth, destination string, r *pipeline.WireRequest) string {
	h := sha256.New()
	for _, text := range []string{store, birth, destination, r.SHA256} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(text)))
		h.Write(n[:])
		h.Write([]byte(text))
	}
	var n [16]byte
	binary.LittleEndian.PutUint64(n[:8], uint64(r.Round))
	binary.LittleEndian.PutUint64(n[8:], uint64(r.Number))
	h.Write(n[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)))
}

// soundRequest reports whether a sink has described a request whole.
func soundRequest(r *pipeline.WireRequest) bool {
	sum, err := hex.DecodeString(r.SHA256)
	return err == nil && len(sum) == sha256.Size && r.File != "" && !strings.ContainsAny(r.File, `/\`) && r.Offset >= 0 && r.Length >= 0 && r.Rows >= 0 && r.Connection >= pipeline.OfAll
}

// staging is one call of Stage as the outbox keeps it.
type staging struct {
	Round     int                    `json:"round"`
	Final     bool                   `json:"final,omitempty"`
	Requests  []pipeline.WireRequest `json:"requests,omitempty"`
	Allocated []int                  `json:"allocated,omitempty"`
	Keep      []string               `json:"keep,omitempty"`
}

// outboxLine is one line of the outbox: one of these.
type outboxLine struct {
	Stage   *staging          `json:"stage,omitempty"`
	Try     *firstTry         `json:"try,omitempty"`
	Receipt *pipeline.Receipt `json:"receipt,omitempty"`
	Letter  *pipeline.Letter  `json:"letter,omitempty"`
	Again   *int              `json:"again,omitempty"`  // a letter's request is to be sent after all
	Unsent  *int              `json:"unsent,omitempty"` // nothing of the request can have reached the receiver so far
	Drop    *int              `json:"drop,omitempty"`   // a letter's request is given up for good
}

// firstTry is noted before a request is sent for the first time: from then on the receiver may have it.
type firstTry struct {
	Number int       `json:"n"`
	At     time.Time `json:"at"`
}

// outbox is what a destination has to send: every request that was ever recorded, and what became of it. It is a file
// of lines in the claim's folder, which only grows; a record names its length. There may be tens of thousands of
// requests: nothing that is done for one looks at all.
type outbox struct {
	stages   []*staged
	requests []pipeline.WireRequest // by number, from 1
	of       []*staged              // by number, from 1: which staging has it
	tries    map[int]time.Time
	letters  map[int]pipeline.Letter
	receipts map[int]bool
	replayed map[int]bool   // requests that were letters and are to be sent again, or were
	dropped  map[int]bool   // requests that were letters and are given up
	first    int            // numbers up to this one need not be looked at for what is pending
	open     map[string]int // requests without a receipt, by file
	done     map[int]bool   // connections of which every request has a receipt
	total    pipeline.Delivery
	length   int64 // bytes of the lines
}

// staged is a staging with what is still to be answered of it.
type staged struct {
	staging
	all int         // requests with rows of several connections
	own map[int]int // by connection: requests with its rows alone
}

func newOutbox() *outbox {
	return &outbox{tries: map[int]time.Time{}, receipts: map[int]bool{}, replayed: map[int]bool{}, dropped: map[int]bool{}, letters: map[int]pipeline.Letter{}, open: map[string]int{}, done: map[int]bool{}}
}

// take applies a line.
func (o *outbox) take(l outboxLine) {
	switch {
	case l.Stage != nil:
		o.stage(l.Stage)
	case l.Try != nil:
		if _, tried := o.tries[l.Try.Number]; !tried {
			o.tries[l.Try.Number] = l.Try.At
		}
	case l.Receipt != nil:
		o.answered(l.Receipt)
	case l.Letter != nil:
		o.letters[l.Letter.Number] = *l.Letter
	case l.Again != nil:
		delete(o.letters, *l.Again)
		delete(o.tries, *l.Again) // whoever asked for it answers for what the receiver remembers
		o.first, o.replayed[*l.Again] = 0, true
	case l.Drop != nil:
		if _, is := o.letters[*l.Drop]; is {
			delete(o.letters, *l.Drop)
			o.dropped[*l.Drop] = true
			o.open[o.requests[*l.Drop-1].File]--
			o.total.Dropped = len(o.dropped)
		}
	}
	if l.Unsent != nil {
		delete(o.tries, *l.Unsent)
	}
	o.total.Refused = len(o.letters)
}

func (o *outbox) stage(line *staging) {
	s := &staged{staging: *line, own: map[int]int{}}
	o.stages = append(o.stages, s)
	for _, r := range line.Requests {
		o.requests, o.of = append(o.requests, r), append(o.of, s)
		o.open[r.File]++
		switch {
		case r.Closing:
		case r.Connection == pipeline.OfAll:
			s.all++
		default:
			s.own[r.Connection]++
		}
	}
	o.total.Requests = len(o.requests)
	o.settle(s, line.Allocated...)
}

// answered applies a receipt.
func (o *outbox) answered(receipt *pipeline.Receipt) {
	if receipt.Number < 1 || receipt.Number > len(o.requests) || o.receipts[receipt.Number] {
		return
	}
	r, s := &o.requests[receipt.Number-1], o.of[receipt.Number-1]
	o.receipts[receipt.Number] = true
	delete(o.letters, receipt.Number)
	o.open[r.File]--
	countTaken(&o.total, r, receipt)
	switch {
	case r.Closing:
	case r.Connection == pipeline.OfAll:
		s.all--
		o.settle(s, s.Allocated...)
	default:
		s.own[r.Connection]--
		o.settle(s, r.Connection)
	}
}

// settle notes those of a staging's connections that wait for nothing any more.
func (o *outbox) settle(s *staged, connections ...int) {
	for _, i := range connections {
		if s.all == 0 && s.own[i] == 0 {
			o.done[i] = true
		}
	}
}

// pending are the next requests without an answer, at most n. One that closes its round waits for all before it.
func (o *outbox) pending(n int) (next []pipeline.WireRequest) {
	for _, r := range o.requests[o.first:] {
		_, dead := o.letters[r.Number]
		switch {
		case o.receipts[r.Number], o.dropped[r.Number], dead:
			if len(next) == 0 {
				o.first = r.Number
			}
			continue
		case len(next) == n, r.Closing && len(next) > 0:
			return next
		}
		next = append(next, r)
	}
	return next
}

// allocated are the connections whose rows are in a request.
func (o *outbox) allocated() map[int]bool {
	all := map[int]bool{}
	for _, s := range o.stages {
		for _, i := range s.Allocated {
			all[i] = true
		}
	}
	return all
}

// refused are the connections that have rows in a letter.
func (o *outbox) refused() map[int]bool {
	all := map[int]bool{}
	for n := range o.letters {
		for _, i := range o.connections(n) {
			all[i] = true
		}
	}
	return all
}

// givenUp are the connections that have rows in a request that was given up, with the number of one.
func (o *outbox) givenUp() map[int]int {
	all := map[int]int{}
	for n := range o.dropped {
		for _, i := range o.connections(n) {
			if first, ok := all[i]; !ok || n < first {
				all[i] = n
			}
		}
	}
	return all
}

// connections are those with rows in a request.
func (o *outbox) connections(number int) []int {
	switch r := &o.requests[number-1]; {
	case r.Closing:
		return nil
	case r.Connection != pipeline.OfAll:
		return []int{r.Connection}
	}
	return o.of[number-1].Allocated
}

// finals is the last round whose final was staged; 0 if none was.
func (o *outbox) finals() (round int) {
	for _, s := range o.stages {
		if s.Final {
			round = max(round, s.Round)
		}
	}
	return round
}

// newIn reports whether a round has allocated a connection.
func (o *outbox) newIn(round int) bool {
	for _, s := range o.stages {
		if s.Round == round && len(s.Allocated) > 0 {
			return true
		}
	}
	return false
}

// files are the names of the files that what is not answered needs, and those that the sink keeps.
func (o *outbox) files() map[string]bool {
	names := map[string]bool{outboxName: true}
	for name, n := range o.open {
		if n > 0 {
			names[name] = true
		}
	}
	for i, s := range o.stages {
		if len(s.Keep) > 0 && !o.keptLater(i) {
			for _, name := range s.Keep {
				names[name] = true
			}
		}
	}
	return names
}

// keptLater reports whether a later staging says what the sink keeps.
func (o *outbox) keptLater(i int) bool {
	for _, s := range o.stages[i+1:] {
		if len(s.Keep) > 0 {
			return true
		}
	}
	return false
}

// maxIDs bounds the ids in a report; the outbox has all.
const maxIDs = 20

// countTaken counts a request that was taken.
func countTaken(d *pipeline.Delivery, r *pipeline.WireRequest, receipt *pipeline.Receipt) {
	d.Sent, d.Rows, d.Bytes = d.Sent+1, d.Rows+r.Rows, d.Bytes+r.Length
	if receipt.ID != "" && len(d.IDs) < maxIDs {
		d.IDs = append(d.IDs, receipt.ID)
	}
	if d.Last == nil || receipt.At.After(d.Last.At) {
		d.Last = receipt
	}
}

// sum is the Delivery so far, which does not change with what follows.
func (o *outbox) sum() *pipeline.Delivery {
	d := o.total
	d.IDs = slices.Clone(d.IDs)
	return &d
}

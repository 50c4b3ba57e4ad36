package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// A topic is what one kind of page shows live, cut into parts: pieces of HTML with an id, and lists that say which
// parts stand where. It is looked at anew while anybody watches, and those who watch get the parts that changed since
// what they have: a slow one gets them in one piece, and never an older one after a newer one.
type topic struct {
	name    string
	soonest time.Duration // between two looks
	look    func(ctx context.Context) (*snapshot, error)

	looking sync.Mutex // one look at a time

	mu       sync.Mutex
	seq      uint64 // of the last change
	began    uint64 // what was before is not known
	parts    map[string]part
	lists    map[string]list
	view     any
	at       time.Time // of the last look
	going    bool
	trouble  string
	last     delta         // the last change, as all get it who have what was before
	changed  chan struct{} // closed with the next change
	watchers int
	running  bool      // run runs
	used     time.Time // when somebody last asked for it
	wake     chan struct{}
}

// part is a piece of a page. what is what it was made from: while that is the same, so is the HTML.
type part struct {
	html string
	what any
	seq  uint64
}

// list says which parts an element has, in their order.
type list struct {
	ids []string
	seq uint64
}

// snapshot is a page as it is now.
type snapshot struct {
	view  any
	parts []piece
	lists map[string][]string
	going bool // it moves by itself: it is looked at again soon
}

// piece is a part before it has become HTML.
type piece struct {
	id   string
	name string // of its template
	what any
}

// delta is what a client gets: parts and lists by id, and what it has then.
type delta struct {
	from uint64
	data []byte
}

// message is the JSON of a delta.
type message struct {
	Seq     uint64              `json:"seq"`
	Parts   map[string]string   `json:"parts,omitempty"`
	Lists   map[string][]string `json:"lists,omitempty"`
	Trouble string              `json:"trouble,omitempty"` // why nothing moves; "" if all is well
}

// fresh is how old a look may be that a page is made from.
const fresh = 300 * time.Millisecond

// current is the page as it is now, or was a moment ago, and its number.
func (t *topic) current(ctx context.Context, next func() uint64, make func(piece) (string, error)) (view any, seq uint64, err error) {
	t.mu.Lock()
	t.used = time.Now()
	if !t.at.IsZero() && time.Since(t.at) < fresh {
		defer t.mu.Unlock()
		return t.view, t.seq, nil
	}
	t.mu.Unlock()
	if err := t.refresh(ctx, next, make); err != nil {
		return nil, 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.view, t.seq, nil
}

// refresh looks, and tells those who watch what has changed.
func (t *topic) refresh(ctx context.Context, next func() uint64, make func(piece) (string, error)) error {
	t.looking.Lock()
	defer t.looking.Unlock()
	now, err := t.look(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil && t.trouble == "" {
			t.trouble = "not live: " + err.Error()
			t.tell()
		}
		return err
	}
	message := message{Parts: map[string]string{}, Lists: map[string][]string{}}
	had := t.trouble != ""
	t.trouble = ""
	kept := map[string]part{}
	seq := uint64(0)
	number := func() uint64 {
		if seq == 0 {
			seq = next()
		}
		return seq
	}
	for _, p := range now.parts {
		was, ok := t.parts[p.id]
		if ok && reflect.DeepEqual(was.what, p.what) {
			kept[p.id] = was
			continue
		}
		html, err := make(p)
		if err != nil {
			return err
		}
		if ok && was.html == html {
			was.what = p.what
			kept[p.id] = was
			continue
		}
		kept[p.id] = part{html, p.what, number()}
		message.Parts[p.id] = html
	}
	lists := map[string]list{}
	for id, ids := range now.lists {
		if was, ok := t.lists[id]; ok && slices.Equal(was.ids, ids) {
			lists[id] = was
			continue
		}
		lists[id] = list{ids, number()}
		message.Lists[id] = ids
	}
	t.parts, t.lists, t.view, t.at, t.going = kept, lists, now.view, time.Now(), now.going
	if seq == 0 {
		if had {
			t.tell()
		}
		return nil
	}
	from := t.seq
	if from == 0 {
		t.began = seq
	}
	t.seq, message.Seq = seq, seq
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	t.last = delta{from, data}
	t.tell()
	return nil
}

// tell wakes those who watch. The lock is held.
func (t *topic) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// since is what has changed behind seq, and a channel that is closed with the next change. reset says that this is not
// known: the page has to be loaded anew.
func (t *topic) since(seq uint64) (data []byte, now uint64, reset bool, trouble string, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.seq == seq:
		return nil, seq, false, t.trouble, t.changed
	case seq < t.began || seq > t.seq:
		return nil, t.seq, true, t.trouble, t.changed
	case t.last.from == seq:
		return t.last.data, t.seq, false, t.trouble, t.changed
	}
	m := message{Seq: t.seq, Parts: map[string]string{}, Lists: map[string][]string{}}
	for id, p := range t.parts {
		if p.seq > seq {
			m.Parts[id] = p.html
		}
	}
	for id, l := range t.lists {
		if l.seq > seq {
			m.Lists[id] = l.ids
		}
	}
	data, err := json.Marshal(m)
	return data, t.seq, err != nil, t.trouble, t.changed
}

// How often a topic is looked at that somebody watches: after a change at the soonest, by itself while it moves, and
// while it does not. A look that takes long is paid for by a pause of lookShare times as much.
const (
	lookSoonest = 400 * time.Millisecond
	lookMoving  = time.Second
	lookStill   = 15 * time.Second
	lookShare   = 4
)

// run looks while anybody watches, until ctx ends.
func (t *topic) run(ctx context.Context, next func() uint64, make func(piece) (string, error)) {
	for {
		began := time.Now()
		_ = t.refresh(ctx, next, make) // those who watch are told
		pause := max(t.soonest, lookShare*time.Since(began))
		if !sleep(ctx, pause) {
			return
		}
		t.mu.Lock()
		going := t.going || t.trouble != ""
		t.running = t.watchers > 0
		watched := t.running
		t.mu.Unlock()
		if !watched {
			return
		}
		left := lookStill
		if going {
			left = lookMoving
		}
		timer := time.NewTimer(max(left-pause, 0))
		select {
		case <-ctx.Done():
		case <-t.wake:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// poke has a topic looked at again, soon.
func (t *topic) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// hub has the topics that somebody looks at, or did a moment ago.
type hub struct {
	soonest time.Duration // between two looks at a topic
	boot    string        // tells this process's numbers from those of an earlier one

	mu     sync.Mutex
	seq    uint64
	topics map[string]*topic
}

func newHub() *hub {
	return &hub{soonest: lookSoonest, boot: random()[:8], topics: map[string]*topic{}}
}

// keepTopic is how long a topic stays that nobody looks at: a tab that was hidden goes on from what it has.
const keepTopic = 2 * time.Minute

// of is the topic of this name; look is used if it is new.
func (h *hub) of(name string, look func(context.Context) (*snapshot, error)) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	for other, t := range h.topics {
		t.mu.Lock()
		old := t.watchers == 0 && time.Since(t.used) > keepTopic
		t.mu.Unlock()
		if old {
			delete(h.topics, other)
		}
	}
	t := h.topics[name]
	if t == nil {
		t = &topic{name: name, soonest: h.soonest, look: look, changed: make(chan struct{}), wake: make(chan struct{}, 1), used: time.Now()}
		h.topics[name] = t
	}
	return t
}

// next is the number of a change.
func (h *hub) next() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	return h.seq
}

// changed has those topics looked at again that a run is in.
func (h *hub) changed(run string) {
	h.mu.Lock()
	topics := maps.Clone(h.topics)
	h.mu.Unlock()
	for name, t := range topics {
		if !strings.HasPrefix(name, topicRun) || name == topicRun+run {
			t.poke()
		}
	}
}

// mark is what a page has: a process and a number.
func (h *hub) mark(seq uint64) string { return fmt.Sprintf("%s-%d", h.boot, seq) }

// seqOf reads a mark; ok is false for one of another process.
func (h *hub) seqOf(mark string) (seq uint64, ok bool) {
	boot, number, _ := strings.Cut(mark, "-")
	if boot != h.boot {
		return 0, false
	}
	_, err := fmt.Sscan(number, &seq)
	return seq, err == nil
}

// made is a piece's HTML.
func (s *Server) made(p piece) (string, error) {
	var text bytes.Buffer
	err := s.templates["parts"].ExecuteTemplate(&text, p.name, p.what)
	return text.String(), err
}

package trigger

import (
	"maps"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

// inquiries bring together who asks and what is answered. A stream does not keep where an answer goes. So a trigger
// is heard twice: as a plain message that may wait for an answer, and from the stream, where it is carried out; the
// two are brought together by the Nats-Msg-Id, or by what the message says: of two that say the same each gets one of
// two answers. Which comes first is left open.
type inquiries struct {
	asked map[string][]*inquiry
	owed  map[string][]owed
	late  map[string]owed // refusals, by the keys of triggers that have an id
}

type inquiry struct {
	answer func([]byte) error // nil if nobody waits
	says   string             // see saying
	at     time.Time
}

type owed struct {
	answer pipeline.Answer
	says   string // what it is the answer to
	at     time.Time
}

// How long one side waits for the other: a trigger may wait in the stream for a free process; a plain message takes
// no detour.
const (
	askedPatience = time.Minute
	owedPatience  = 2 * time.Second
)

// latePatience is how long a refusal is at hand for a trigger that the stream drops because it has the id of the
// refused one: ten times as long as the stream remembers an id, as its clock may be behind. againPatience is how long
// such a trigger may take to come from the stream, if it was not dropped.
const (
	latePatience  = time.Second
	againPatience = time.Second
)

func newInquiries() inquiries {
	return inquiries{asked: map[string][]*inquiry{}, owed: map[string][]owed{}, late: map[string]owed{}}
}

// keyOf is the same for a trigger as it passes by and as the stream has it.
func keyOf(subject, msgID string, payload []byte) string {
	if msgID != "" {
		return keyOfID + msgID
	}
	return saying(subject, payload)
}

const keyOfID = "id "

func saying(subject string, payload []byte) string { return "as " + subject + " " + string(payload) }

// ask returns the answer that is owed to a trigger, or notes that one is waited for. A refusal is owed to what says
// the same.
func (q *inquiries) ask(key string, who *inquiry) (pipeline.Answer, bool) {
	q.forget()
	list := q.owed[key]
	if i := slices.IndexFunc(list, func(o owed) bool { return o.answer.Error == "" || o.says == who.says }); i >= 0 {
		a := list[i].answer
		if q.owed[key] = slices.Delete(list, i, i+1); len(list) == 1 {
			delete(q.owed, key)
		}
		return a, true
	}
	q.asked[key] = append(q.asked[key], who)
	return pipeline.Answer{}, false
}

// withdraw reports whether an inquiry still waits, and forgets it.
func (q *inquiries) withdraw(key string, who *inquiry) bool {
	list := q.asked[key]
	i := slices.Index(list, who)
	if i < 0 {
		return false
	}
	if q.asked[key] = slices.Delete(list, i, i+1); len(list) == 1 {
		delete(q.asked, key)
	}
	return true
}

// refused notes the refusal of a trigger; lately is what there is to say to one with its id that follows too closely.
func (q *inquiries) refused(key, says string, a pipeline.Answer) {
	maps.DeleteFunc(q.late, func(_ string, o owed) bool { return time.Since(o.at) > latePatience })
	q.late[key] = owed{a, says, time.Now()}
}

func (q *inquiries) lately(key, says string) (pipeline.Answer, bool) {
	o, ok := q.late[key]
	if !ok || time.Since(o.at) > latePatience {
		return pipeline.Answer{}, false
	}
	if o.says != says {
		return pipeline.Answer{Error: "another trigger of this id was refused a moment ago, and this one is dropped, as it follows too closely; publish it again"}, true
	}
	return o.answer, true
}

// owes reports whether an answer waits for who asks.
func (q *inquiries) owes(key string) bool {
	q.forget()
	return len(q.owed[key]) > 0
}

// answer returns who waits for the answer to a trigger: the first that asked, or, where they all named one message,
// all of them; of these a refusal is the answer to those that say the same. If nobody does, the answer is kept for
// who is about to ask, unless the trigger came again.
func (q *inquiries) answer(key, says string, a pipeline.Answer, again bool) (all []func([]byte) error) {
	q.forget()
	var left []*inquiry
	for _, i := range q.asked[key] {
		if len(all) > 0 && !strings.HasPrefix(key, keyOfID) || a.Error != "" && i.says != says {
			left = append(left, i)
		} else {
			all = append(all, i.answer)
		}
	}
	if q.asked[key] = left; len(left) == 0 {
		delete(q.asked, key)
	}
	if len(all) == 0 && !again {
		q.owed[key] = append(q.owed[key], owed{a, says, time.Now()})
	}
	return all
}

// forget drops what has waited for too long.
func (q *inquiries) forget() {
	for k, list := range q.asked {
		for len(list) > 0 && time.Since(list[0].at) > askedPatience {
			list = list[1:]
		}
		if q.asked[k] = list; len(list) == 0 {
			delete(q.asked, k)
		}
	}
	for k, list := range q.owed {
		for len(list) > 0 && time.Since(list[0].at) > owedPatience {
			list = list[1:]
		}
		if q.owed[k] = list; len(list) == 0 {
			delete(q.owed, k)
		}
	}
}

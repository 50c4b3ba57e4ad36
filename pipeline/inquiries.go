package pipeline

import (
	"strings"
	"time"
)

// inquiries bring together who asks and what is answered. A stream does not keep where an answer goes. So a trigger is heard twice: as a plain
// message that may wait for an answer, and from the stream, where it is carried out; the two are brought together by the Nats-Msg-Id,
// or by what the message says: of two that say the same each gets one of two answers. Which comes first is left open.
type inquiries struct {
	asked map[string][]inquiry
	owed  map[string][]owed
}

type inquiry struct {
	answer func([]byte) error // nil if nobody waits
	at     time.Time
}

type owed struct {
	answer Answer
	at     time.Time
}

// How long one side waits for the other: a trigger may wait in the stream for a free process; a plain message takes no detour.
const (
	askedPatience = time.Minute
	owedPatience  = 2 * time.Second
)

func newInquiries() inquiries {
	return inquiries{asked: map[string][]inquiry{}, owed: map[string][]owed{}}
}

// keyOf is the same for a trigger as it passes by and as the stream has it.
func keyOf(subject, msgID string, payload []byte) string {
	if msgID != "" {
		return keyOfID + msgID
	}
	return "as " + subject + " " + string(payload)
}

const keyOfID = "id "

// ask returns the answer that is owed to a trigger, or notes that one is waited for.
func (q *inquiries) ask(key string, answer func([]byte) error) (Answer, bool) {
	q.forget()
	if list := q.owed[key]; len(list) > 0 {
		if q.owed[key] = list[1:]; len(list) == 1 {
			delete(q.owed, key)
		}
		return list[0].answer, true
	}
	q.asked[key] = append(q.asked[key], inquiry{answer, time.Now()})
	return Answer{}, false
}

// owes reports whether an answer waits for who asks.
func (q *inquiries) owes(key string) bool {
	q.forget()
	return len(q.owed[key]) > 0
}

// answer returns who waits for the answer to a trigger: the first that asked, or, where they all named one message, all of them. If nobody does,
// the answer is kept for who is about to ask, unless the trigger came again.
func (q *inquiries) answer(key string, a Answer, again bool) (all []func([]byte) error) {
	q.forget()
	list := q.asked[key]
	if len(list) == 0 {
		if !again {
			q.owed[key] = append(q.owed[key], owed{a, time.Now()})
		}
		return nil
	}
	n := 1
	if strings.HasPrefix(key, keyOfID) {
		n = len(list)
	}
	for _, i := range list[:n] {
		all = append(all, i.answer)
	}
	if q.asked[key] = list[n:]; len(list) == n {
		delete(q.asked, key)
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

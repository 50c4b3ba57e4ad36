package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fanmill/pipeline"
)

// NoticeState is where a notice to one target stands.
type NoticeState string

// The states of a notice.
const (
	NoticeWaiting NoticeState = "waiting" // to be sent, or being sent
	NoticeSent    NoticeState = "sent"    // the receiver has said yes
	NoticeGivenUp NoticeState = "givenup" // nobody sends it any more
)

// NoticeRecord is one notice to one target: an entry of the outbox that whoever serves works off. A key stands for one
// end of a run, or one day of a job, and one target: so whoever writes it first decides, and nobody is told twice.
type NoticeRecord struct {
	Job    string                `json:"job"`
	Run    string                `json:"run,omitempty"`
	Event  pipeline.NoticeEvent  `json:"event"`
	Target pipeline.NotifyTarget `json:"target"`           // as the job had it, references as they are
	Notice *pipeline.Notice      `json:"notice,omitempty"` // as long as it waits
	State  NoticeState           `json:"state"`
	Made   time.Time             `json:"made"`
	Tries  int                   `json:"tries,omitempty"`
	Next   time.Time             `json:"next,omitzero"` // no attempt before that
	// Claim is the process that makes an attempt now; its token is "" if none does.
	Claim  pipeline.Owner `json:"claim,omitzero"`
	Error  string         `json:"error,omitempty"`  // of the last attempt that failed
	Answer string         `json:"answer,omitempty"` // of the receiver that took it
	Ended  time.Time      `json:"ended,omitzero"`
}

// Take is a process that is about to make an attempt.
func (r *NoticeRecord) Take(o pipeline.Owner) { r.Claim = o }

// Claimed reports whether a process is making an attempt, if it lives.
func (r *NoticeRecord) Claimed() bool { return r.Claim.Token != "" }

// Sent is the receiver's yes. What was said is not needed any more.
func (r *NoticeRecord) Sent(answer string, at time.Time) {
	r.State, r.Answer, r.Ended, r.Tries, r.Error = NoticeSent, answer, at, r.Tries+1, ""
	r.Claim, r.Notice, r.Next = pipeline.Owner{}, nil, time.Time{}
}

// TryAgain notes an attempt that failed, and when the next one is due.
func (r *NoticeRecord) TryAgain(why error, next time.Time) {
	r.Tries, r.Error, r.Next, r.Claim = r.Tries+1, pipeline.ShortError(why), next, pipeline.Owner{}
}

// GiveBack ends a claim without an attempt.
func (r *NoticeRecord) GiveBack() { r.Claim = pipeline.Owner{} }

// GiveUp ends a notice that nobody gets.
func (r *NoticeRecord) GiveUp(why error, at time.Time) {
	r.State, r.Error, r.Ended = NoticeGivenUp, pipeline.ShortError(why), at
	r.Claim, r.Notice, r.Next = pipeline.Owner{}, nil, time.Time{}
}

// JobNotices is what the targets of a job were last told: recovered is news only after something bad was.
type JobNotices struct {
	Run         string               `json:"run,omitempty"` // whose end was told last
	Incarnation int                  `json:"incarnation"`
	Event       pipeline.NoticeEvent `json:"event,omitempty"`
	Bad         bool                 `json:"bad,omitempty"`  // something bad was told, and nothing good since
	Last        *pipeline.NoticeLast `json:"last,omitempty"` // how that run ended
}

// Settle is the end of a run that was told, or that nobody wanted to be told of.
func (j *JobNotices) Settle(run string, incarnation int, event pipeline.NoticeEvent, bad bool, last *pipeline.NoticeLast) {
	j.Run, j.Incarnation, j.Event, j.Bad, j.Last = run, incarnation, event, bad, last
}

// BeLate is a day on which a job was told to be late.
func (j *JobNotices) BeLate() { j.Event, j.Bad = pipeline.NoticeLate, true }

// Keys of notices, in Stores.Runs.

const (
	runNotices  = pipeline.NoticeKeys + ".run."
	lateNotices = pipeline.NoticeKeys + ".late."
)

// NoticePatterns are every NoticeRecord.
var NoticePatterns = []string{runNotices + ">", lateNotices + ">"}

// RunNoticeKey is the notice of an end of a run to a target.
func RunNoticeKey(run string, incarnation int, target string) string {
	return fmt.Sprintf("%s%s.%d.%s", runNotices, pipeline.Token(run), incarnation, pipeline.Token(target))
}

// RunNotices is every RunNoticeKey of a run.
func RunNotices(run string) string { return runNotices + pipeline.Token(run) + ".>" }

// LateNoticeKey is the notice that a job is late on a day (2006-01-02) to a target.
func LateNoticeKey(job, day, target string) string {
	return lateNotices + pipeline.Token(job) + "." + pipeline.Token(day) + "." + pipeline.Token(target)
}

// JobNoticesKey is a job's JobNotices.
func JobNoticesKey(job string) string { return pipeline.NoticeKeys + ".job." + pipeline.Token(job) }

// PutNotice adds a notice to the outbox; made is false where it is there already, which is left as it is. It is durable
// when the error is nil.
func PutNotice(ctx context.Context, runs pipeline.KV, key string, r NoticeRecord) (made bool, _ error) {
	_, err := CreateDocument(ctx, runs, key, r)
	if errors.Is(err, pipeline.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// LoadJobNotices reads what a job's targets were last told, or makes a record of it. One that cannot be read is begun
// anew: the worst of it is a recovery that nobody is told of.
func LoadJobNotices(ctx context.Context, runs pipeline.KV, job string) (*Document[JobNotices], error) {
	for {
		doc, err := LoadDocument[JobNotices](ctx, runs, JobNoticesKey(job))
		switch {
		case errors.Is(err, pipeline.ErrNoKey):
			doc, err = CreateDocument(ctx, runs, JobNoticesKey(job), JobNotices{})
		case errors.Is(err, pipeline.ErrForeign):
			err = doc.Overwrite(ctx, JobNotices{})
		}
		if !errors.Is(err, pipeline.ErrConflict) || ctx.Err() != nil {
			return doc, err
		}
	}
}

// Notices reads all notices, also those that are sent, but for those that nobody can read: pass is told of these.
func Notices(ctx context.Context, runs pipeline.KV, pass func(error)) (all []*Document[NoticeRecord], _ error) {
	for _, pattern := range NoticePatterns {
		if err := readNotices(ctx, runs, pattern, pass, &all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// NoticesOf are those of a run.
func NoticesOf(ctx context.Context, runs pipeline.KV, run string, pass func(error)) (all []*Document[NoticeRecord], _ error) {
	return all, readNotices(ctx, runs, RunNotices(run), pass, &all)
}

func readNotices(ctx context.Context, runs pipeline.KV, pattern string, pass func(error), all *[]*Document[NoticeRecord]) error {
	return present(ctx, runs, pattern, func(e pipeline.KVEntry) {
		doc, err := DocumentOf[NoticeRecord](runs, e)
		if err != nil {
			pass(err)
			return
		}
		*all = append(*all, doc)
	})
}

// NoticeKeyOf is the key that a notice stands under.
func NoticeKeyOf(doc *Document[NoticeRecord]) string { return doc.key }

// LateDay is the day of a LateNoticeKey; "" of any other.
func LateDay(key string) string {
	parts := strings.Split(key, ".")
	if !strings.HasPrefix(key, lateNotices) || len(parts) != 5 {
		return ""
	}
	return pipeline.Untoken(parts[3])
}

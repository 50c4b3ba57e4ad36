package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

// JobDefinitions are the jobs of a store, in Stores.Jobs. A version is put in two writes: its text, under a key of its
// own, and then the definition, which makes it count. Whoever dies between them leaves a text that nothing names, and
// the next put of that job removes it.
type JobDefinitions struct{ kv pipeline.KV }

// NewJobDefinitions are those of Stores.Jobs.
func NewJobDefinitions(jobs pipeline.KV) *JobDefinitions { return &JobDefinitions{jobs} }

// definitionPart is the part of the keys that tells definitions from the jobs as last served or run.
const definitionPart = ".definition"

// JobDefinitionKey is a job's JobDefinition in Stores.Jobs.
func JobDefinitionKey(job string) string { return pipeline.Token(job) + definitionPart }

// JobDefinitionKeys is what every JobDefinitionKey matches.
const JobDefinitionKeys = "*" + definitionPart

// jobTextKey is a version's JobText in Stores.Jobs.
func jobTextKey(job, text string) string { return JobDefinitionKey(job) + "." + text }

// List reads the definitions of all jobs, by key; removed ones, too. One that cannot be read is passed to bad, with the
// job's id, and left out.
func (s *JobDefinitions) List(ctx context.Context, bad func(job string, err error)) ([]JobDefinition, error) {
	keys, err := s.kv.Keys(ctx, JobDefinitionKeys)
	if err != nil {
		return nil, err
	}
	slices.Sort(keys)
	var all []JobDefinition
	for _, key := range keys {
		job := pipeline.Untoken(strings.TrimSuffix(key, definitionPart))
		d, err := s.Get(ctx, job)
		switch {
		case errors.Is(err, pipeline.ErrNoKey): // removed since
		case errors.Is(err, pipeline.ErrForeign), errors.Is(err, ErrLater):
			bad(job, err)
		case err != nil:
			return nil, err
		default:
			all = append(all, d)
		}
	}
	return all, nil
}

// Get reads the definition of a job. The error is ErrNoKey if the store never had it, ErrLater if a later version of
// fanmill has written it, ErrForeign if it cannot be read.
func (s *JobDefinitions) Get(ctx context.Context, job string) (JobDefinition, error) {
	doc, err := s.load(ctx, job)
	if err != nil {
		return JobDefinition{}, err
	}
	return doc.Value(), nil
}

func (s *JobDefinitions) load(ctx context.Context, job string) (*Document[JobDefinition], error) {
	doc, err := LoadDocument[JobDefinition](ctx, s.kv, JobDefinitionKey(job))
	if err == nil && pipeline.Token(doc.Value().Job) != pipeline.Token(job) {
		err = ForeignRecord(JobDefinitionKey(job), fmt.Errorf("it is of job %q", doc.Value().Job))
	}
	return doc, err
}

// Text reads the text of a version. It is checked against the version's digest: the error of one that is gone or
// damaged is ErrForeign.
func (s *JobDefinitions) Text(ctx context.Context, job string, v JobVersion) (*JobText, error) {
	key := jobTextKey(job, v.Text)
	e, err := s.kv.Get(ctx, key)
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, ForeignRecord(key, errors.New("it is gone"))
	}
	if err != nil {
		return nil, err
	}
	var t JobText
	if err := DecodeRecord(key, e.Value, &t); err != nil {
		return nil, err
	}
	digest, err := t.Digest()
	if err == nil && digest != v.Digest {
		err = errors.New("it is another text than was put")
	}
	if err != nil {
		return nil, ForeignRecord(key, err)
	}
	return &t, nil
}

// ErrJobMoved is a job that somebody else has put or removed since one looked at it.
var ErrJobMoved = errors.New("somebody else has changed the job in the store meanwhile")

// Edit is a job as somebody saw it who is about to change it. The change is made to what was seen, or not at all.
type Edit struct {
	s   *JobDefinitions
	job string
	doc *Document[JobDefinition] // nil if the store has no such job
}

// Edit looks at a job that is to be changed.
func (s *JobDefinitions) Edit(ctx context.Context, job string) (*Edit, error) {
	doc, err := s.load(ctx, job)
	switch {
	case errors.Is(err, pipeline.ErrNoKey):
		return &Edit{s, job, nil}, nil
	case err != nil:
		return nil, err
	}
	return &Edit{s, job, doc}, nil
}

// Seen is the job as it was seen; nothing in it if the store had none.
func (e *Edit) Seen() JobDefinition {
	if e.doc == nil {
		return JobDefinition{Job: e.job}
	}
	return e.doc.Value()
}

// Put stores a version and makes it count. It returns the version's number; that of the one that counts already, and
// false, if it is the same text. The error is ErrJobMoved if somebody else was faster: then nothing has changed.
func (e *Edit) Put(ctx context.Context, v JobVersion, t *JobText) (number int, put bool, err error) {
	next := e.Seen()
	if v.Digest, err = t.Digest(); err != nil {
		return 0, false, err
	}
	if n, has, err := next.Version(0); next.Current != 0 && err == nil && has.Digest == v.Digest {
		return n, false, nil
	}
	data, err := EncodeRecord(t)
	if err != nil {
		return 0, false, err
	}
	if len(data) > maxTextBytes {
		return 0, false, pipeline.Permanent(fmt.Errorf("job %s takes %d KB in the store, packed, and at most %d fit: put what its connections share into the job or an inventory once", e.job, len(data)>>10, maxTextBytes>>10))
	}
	v.Text = strconv.Itoa(next.Newest+1) + "-" + pipeline.NewToken()
	if _, err := e.s.kv.Create(ctx, jobTextKey(e.job, v.Text), data); err != nil {
		return 0, false, fmt.Errorf("store the text of job %s: %w", e.job, err)
	}
	failpoint.Hit("job-text-stored")
	number = next.Add(v)
	if err := e.write(ctx, next); err != nil {
		if errors.Is(err, ErrJobMoved) {
			_ = e.s.kv.Delete(ctx, jobTextKey(e.job, v.Text)) // the next put removes it otherwise
		}
		return 0, false, err
	}
	return number, true, e.sweep(ctx)
}

// Remove has the job served no more; its versions stay.
func (e *Edit) Remove(ctx context.Context, by Hand) error {
	next := e.Seen()
	next.Remove(by)
	return e.write(ctx, next)
}

// write stores the definition in place of what was seen.
func (e *Edit) write(ctx context.Context, next JobDefinition) (err error) {
	if e.doc == nil {
		e.doc, err = CreateDocument(ctx, e.s.kv, JobDefinitionKey(e.job), next)
	} else {
		err = e.doc.Write(ctx, next)
	}
	if errors.Is(err, pipeline.ErrConflict) || errors.Is(err, pipeline.ErrForeign) || errors.Is(err, ErrLater) {
		return pipeline.OfKind(ErrJobMoved, fmt.Errorf("%w%s: look at fanmill job history %s, and do it again", ErrJobMoved, e.now(ctx), e.job))
	}
	return err
}

// now says what stands in the store instead of what was seen; "" if that cannot be read.
func (e *Edit) now(ctx context.Context) string {
	d, err := e.s.Get(ctx, e.job)
	if err != nil {
		return ""
	}
	if n, v, err := d.Version(0); err == nil {
		return fmt.Sprintf(" (version %d, by %s)", n, v.By)
	}
	return " (it was removed by " + d.Removed.by() + ")"
}

// sweep removes the texts that no version has: of versions beyond KeptVersions, and of puts that came to no end. Those
// of a higher number than was seen here may be of a put under way.
func (e *Edit) sweep(ctx context.Context) error {
	seen := e.Seen()
	keys, err := e.s.kv.Keys(ctx, jobTextKey(e.job, "*"))
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, v := range seen.Versions {
		kept[jobTextKey(e.job, v.Text)] = true
	}
	for _, key := range keys {
		number, _, _ := strings.Cut(strings.TrimPrefix(key, jobTextKey(e.job, "")), "-")
		if n, err := strconv.Atoi(number); err != nil || n > seen.Newest || kept[key] {
			continue
		}
		if err := e.s.kv.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes a job with all its versions. Who runs it at the moment has what it needs.
func (s *JobDefinitions) Forget(ctx context.Context, job string) error {
	if _, err := s.load(ctx, job); errors.Is(err, ErrLater) {
		return err
	}
	if err := s.kv.Delete(ctx, JobDefinitionKey(job)); err != nil { // first: nothing names a text that is gone
		return err
	}
	return s.kv.RemoveAll(ctx, jobTextKey(job, "*"))
}

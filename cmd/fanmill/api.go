package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"fanmill/internal/screen"
	"fanmill/nats"
	"fanmill/pipeline"
)

// apiPrefix begins the subjects of the service that coordinators offer. Who may ask for runs of one job is let publish
// apiPrefix + "run." + its token, and no other: so the job stands in the subject.
const apiPrefix = "fanmill.api."

// natsAPI are the answers to who asks over NATS; each is what the command of that name prints with --json.
type natsAPI struct{ b *pageBackend }

// offer has this process answer as the service fanmill, beside other coordinators. Where the server does not permit
// that, jobs are served all the same.
func (a natsAPI) offer(conn *nats.Conn) (stop func()) {
	stop, err := conn.Offer(nats.ServiceConfig{Name: "fanmill", Version: semantic(version()), Description: "asks for runs of jobs, and tells what became of them",
		Metadata: map[string]string{"build": version(), "host": a.b.sys.node.Owner.Host, "process": a.b.sys.node.Owner.Token}, Patience: answerPatience + 5*time.Second}, a.endpoints()...)
	if err != nil {
		a.b.sys.node.Log.Warn("this process does not answer as the NATS service fanmill; it serves jobs all the same", "error", err)
		return func() {}
	}
	return stop
}

func (a natsAPI) endpoints() []nats.Endpoint {
	return []nats.Endpoint{{
		Name: "run", Subject: apiPrefix + "run.*", Answer: a.run,
		Metadata: map[string]string{"asks": `a trigger, such as {} or {"resume":true}`, "answers": "as fanmill trigger --json"},
	}, {
		Name: "status", Subject: apiPrefix + "status", Answer: a.status,
		Metadata: map[string]string{"asks": `{"job":"..."}, {"run":"..."}, or {} for the newest run`, "answers": "as fanmill status --json"},
	}, {
		Name: "cancel", Subject: apiPrefix + "cancel", Answer: a.cancel,
		Metadata: map[string]string{"asks": `{"run":"..."}`, "answers": "as fanmill cancel --json"},
	}, {
		Name: "checkpoint", Subject: apiPrefix + "checkpoint", Answer: a.checkpoint,
		Metadata: map[string]string{"asks": `{"job":"..."}`, "answers": "as fanmill checkpoint show --json"},
	}}
}

// refuse is an error with a code.
func refuse(code int, format string, args ...any) error {
	return &nats.Refused{Code: code, Err: fmt.Errorf(format, args...)}
}

// asks names a job or a run.
type asks struct {
	Job string `json:"job"`
	Run string `json:"run"`
}

// read reads a question; want says what it is to be.
func (q *asks) read(payload []byte, want string) error {
	if len(bytes.TrimSpace(payload)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return refuse(http.StatusBadRequest, "the question cannot be read: %s; send %s", strings.TrimPrefix(err.Error(), "json: "), want)
	}
	return nil
}

func (a natsAPI) run(ctx context.Context, q nats.Question) ([]byte, error) {
	id := q.MsgID
	if id == "" {
		id = pipeline.NewRunID(time.Now())
	}
	job := pipeline.Untoken(pipeline.LastToken(q.Subject))
	w := &asked{topic: pipeline.TopicTrigger(job), settings: a.b.s, job: job, id: id, payload: q.Payload, log: a.b.sys.node.Log}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	said, err := w.ask(ctx, a.b.sys.node.Bus)
	if errors.Is(err, pipeline.ErrNoAnswer) { // it is kept
		said, err = pipeline.Answer{Run: pipeline.Token(id), Job: job, State: pipeline.AnswerQueued}, nil
	}
	return answered(said, err)
}

func (a natsAPI) cancel(ctx context.Context, q nats.Question) ([]byte, error) {
	var of asks
	const want = `{"run":"<id of a run>"}`
	if err := of.read(q.Payload, want); err != nil {
		return nil, err
	}
	if of.Run == "" || of.Job != "" {
		return nil, refuse(http.StatusBadRequest, "a run is cancelled by its id: send %s; fanmill runs lists them", want)
	}
	node, done, err := a.b.asPage()
	if err != nil {
		return nil, err
	}
	defer done()
	return answered(cancelRun(ctx, node, of.Run))
}

// answered is what whoever serves has said, or the error that it is.
func answered(said pipeline.Answer, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if said.Error != "" {
		return nil, refuse(http.StatusConflict, "%s", trimmed(saidOf(said)))
	}
	return json.Marshal(said)
}

func (a natsAPI) status(ctx context.Context, q nats.Question) ([]byte, error) {
	var of asks
	if err := of.read(q.Payload, `{"job":"<id>"}, {"run":"<id>"}, or {} for the newest run`); err != nil {
		return nil, err
	}
	if of.Run != "" && of.Job != "" {
		return nil, refuse(http.StatusBadRequest, "send job or run, not both: a run is of one job")
	}
	node := a.b.sys.node
	run, waiting, err := a.b.s.findRun(ctx, node, of.Run+of.Job)
	switch {
	case errors.Is(err, pipeline.ErrTransient):
		return nil, err
	case err != nil:
		return nil, refuse(http.StatusNotFound, "%w", err)
	}
	var v screen.StatusView
	if waiting != nil {
		v = a.b.s.queuedView(waiting)
	} else {
		info, err := node.View().Inspect(ctx, run)
		if err != nil {
			return nil, fmt.Errorf("look at run %s: %w", run, err)
		}
		v = a.b.s.statusView(info)
	}
	var out bytes.Buffer
	err = screen.JSON(&out, v)
	return out.Bytes(), err
}

func (a natsAPI) checkpoint(ctx context.Context, q nats.Question) ([]byte, error) {
	var of asks
	const want = `{"job":"<id of a job>"}`
	if err := of.read(q.Payload, want); err != nil {
		return nil, err
	}
	if of.Job == "" || of.Run != "" {
		return nil, refuse(http.StatusBadRequest, "a checkpoint is of a job: send %s", want)
	}
	all, err := checkpoints(ctx, a.b.sys.node.Stores, of.Job)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, refuse(http.StatusNotFound, "%w", noCheckpoint(of.Job))
	}
	return json.Marshal(all[0])
}

var (
	semanticVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
	notInVersion    = regexp.MustCompile(`[^0-9A-Za-z-]+`)
)

// semantic is a version as services have it: that of the module, or 0.0.0 of the commit that it was built from.
func semantic(version string) string {
	if semanticVersion.MatchString(version) {
		return strings.TrimPrefix(version, "v")
	}
	if build := strings.Trim(notInVersion.ReplaceAllString(version, "-"), "-"); build != "" {
		return "0.0.0+" + build
	}
	return "0.0.0"
}

package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"fanmill/pipeline"
)

// Envelope is what a body's template knows of its request.
type Envelope struct {
	JobID       string               `json:"jobId"`
	JobName     string               `json:"jobName"`
	RunID       string               `json:"runId"`
	Query       string               `json:"query,omitempty"`
	Round       int                  `json:"round,omitempty"` // 2 and more: what a resume sends after an earlier round
	Connections []EnvelopeConnection `json:"connections"`
}

// EnvelopeConnection is one connection as a request names it. In stream mode a request names the one whose rows it has:
// nothing in its bytes depends on others.
type EnvelopeConnection struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state,omitempty"` // included, delivered (by an earlier round), or missing
	Rows  int64  `json:"rows"`            // as they are sent
}

// States of a connection in a request.
const (
	envelopeIncluded  = "included"
	envelopeDelivered = "delivered"
	envelopeMissing   = "missing"
)

// rowsMark stands in the text of a template for the rows. No JSON text has it: it has a control character.
const rowsMark = "\x00rows\x00"

// envelope is the template of bodies.
type envelope struct{ t *template.Template }

// newEnvelope reads a template, and tries it.
func newEnvelope(text string) (*envelope, error) {
	t, err := template.New("body").Option("missingkey=error").Funcs(template.FuncMap{
		"rows": func() string { return rowsMark },
		"json": func(v any) (string, error) {
			out, err := json.Marshal(v)
			return string(out), err
		},
	}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	e := &envelope{t}
	head, tail, err := e.around(Envelope{JobID: "job", JobName: "Job", RunID: "run", Connections: []EnvelopeConnection{{ID: "c", Name: "C"}}})
	if err != nil {
		return nil, err
	}
	if !json.Valid([]byte(head + "{}" + tail)) {
		return nil, errors.New("body: with a row in the place of {{rows}} it is no JSON; write texts as {{json .JobName}}, and {{rows}} within [ ]")
	}
	return e, nil
}

// around is what stands before and after the rows.
func (e *envelope) around(about Envelope) (head, tail string, err error) {
	var b bytes.Buffer
	if err := e.t.Execute(&b, about); err != nil {
		return "", "", fmt.Errorf("body: %w", err)
	}
	head, tail, found := strings.Cut(b.String(), rowsMark)
	if !found || strings.Contains(tail, rowsMark) {
		return "", "", errors.New("body: {{rows}} must stand in it once")
	}
	return head, tail, nil
}

// usual is what stands before the rows of a body without a template.
func usual(about Envelope) (head string, err error) {
	text, err := json.Marshal(about)
	if err != nil {
		return "", pipeline.Permanent(err)
	}
	return strings.TrimSuffix(string(text), "}") + `,"rows":[`, nil
}

// usualTail is what stands behind them: the number of the request in its round, and whether it is the last one.
func usualTail(number int, last bool) string {
	return fmt.Sprintf(`],"request":%d,"last":%t}`+"\n", number, last)
}

package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Trigger asks for a run. With Resume the job's unfinished run goes on. With StartOver it is given up also where some
// of its rows were sent. With TargetMoved a resume goes on where the job sends requests to now: the same receiver, at
// another address.
type Trigger struct {
	Resume      bool     `json:"resume,omitempty"`
	StartOver   bool     `json:"startOver,omitempty"`
	TargetMoved bool     `json:"targetMoved,omitempty"`
	Connections []string `json:"connections,omitempty"` // ids; all if empty
	// Text, number (json.Number), bool or nil, in place of the job's.
	Params map[string]any  `json:"params,omitempty"`
	Job    json.RawMessage `json:"job,omitempty"` // a whole job file, of a TopicInline

	// ID names the run that process.Node.Run is asked for: one of this id that is complete is not carried out again, and
	// one that is not goes on. "" asks for a new one, or, with Resume, for the job's unfinished one.
	ID string `json:"-"`
}

// ReadTrigger reads a trigger's payload; nothing at all asks for a fresh run of everything.
func ReadTrigger(payload []byte) (t Trigger, err error) {
	text, err := asText(payload)
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		return t, nil
	}
	if err == nil {
		err = decodeTrigger(text, &t)
	}
	hint := fromShell(text, err)
	var other *json.UnmarshalTypeError
	if errors.As(err, &other) {
		if err = fmt.Errorf("there is a JSON %s in place of the object", other.Value); other.Field != "" {
			err = fmt.Errorf("%q is not what is expected, it is a JSON %s", other.Field, other.Value)
		}
	}
	if err != nil {
		return t, Permanent(fmt.Errorf(`the trigger cannot be read: %s%s; send {} or an object with "resume" (true or false), "startOver" (true or false), "targetMoved" (true or false), "connections" (a list of ids), "params" (an object), "job" (a job file)`,
			strings.TrimPrefix(err.Error(), "json: "), hint))
	}
	return t, nil
}

func decodeTrigger(text []byte, t *Trigger) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return err
	}
	if _, more := d.Token(); !errors.Is(more, io.EOF) {
		return errors.New("there is something after the object")
	}
	return nil
}

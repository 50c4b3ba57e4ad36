package sinks

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// splitState is the artifacts' part of the commit record. A record holds at most a megabyte; a thousand connections
// of a hundred columns that are committed together, each with a header in its state, would not fit. So what is large
// is deflated: the states are much alike.
type splitState struct {
	Done  map[int]splitDone      `json:"done,omitempty"`
	Files map[int]splitFileState `json:"files,omitempty"`
}

// splitDone is a file that is as the run delivers it.
type splitDone struct {
	Length int64  `json:"n"`
	SHA256 string `json:"s"` // the first 16 digits: people compare it with the report
}

// splitFileState is a file that is not done.
type splitFileState struct {
	State     json.RawMessage `json:"s"`
	Committed bool            `json:"c,omitempty"` // a part was staged into it
}

// packAbove is the size in bytes from which a state is deflated. Below, people can read it in the record.
const packAbove = 32 << 10

// record describes all files, and remembers in which phase.
func (s *splitSink) record() (json.RawMessage, error) {
	st := splitState{Done: s.done, Files: map[int]splitFileState{}}
	for i, f := range s.live {
		f.recorded = f.phase
		if f.phase == splitPublished {
			d, err := finalPrint(f.state)
			if err != nil {
				return nil, err
			}
			s.done[i] = d
			continue
		}
		st.Files[i] = splitFileState{State: f.state, Committed: f.phase > splitOpened}
	}
	plain, err := json.Marshal(st)
	if err != nil || len(plain) <= packAbove {
		return plain, err
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err == nil {
		if _, err = w.Write(plain); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	return json.Marshal(map[string][]byte{"deflated": packed.Bytes()})
}

// readSplitState is the inverse of record.
func readSplitState(raw json.RawMessage) (splitState, error) {
	st := splitState{Done: map[int]splitDone{}, Files: map[int]splitFileState{}}
	if len(raw) == 0 {
		return st, nil
	}
	var packed struct {
		Deflated []byte `json:"deflated"`
	}
	if err := json.Unmarshal(raw, &packed); err != nil {
		return st, err
	}
	if packed.Deflated != nil {
		var err error
		if raw, err = io.ReadAll(flate.NewReader(bytes.NewReader(packed.Deflated))); err != nil {
			return st, err
		}
	}
	return st, json.Unmarshal(raw, &st)
}

// finalPrint reads what a sink's state says of the final artifact; every sink of this package keeps it in one place.
func finalPrint(raw json.RawMessage) (splitDone, error) {
	var st struct {
		Artifact artifact.State `json:"artifact"`
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return splitDone{}, pipeline.Permanent(fmt.Errorf("the state of a finished file: %w", err))
	}
	final := st.Artifact.Final
	if final == nil {
		return splitDone{}, nil
	}
	return splitDone{final.Length, final.SHA256[:16]}, nil
}

// splitPart is a part of one connection's file.
type splitPart struct {
	pipeline.Part
	file *splitFile
}

// splitPartState describes a part together with the state of its file's sink: a record may name the part without
// naming the file.
type splitPartState struct {
	File json.RawMessage `json:"file"`
	Part json.RawMessage `json:"part"`
}

func readSplitPart(p pipeline.PartState) (splitPartState, error) {
	var ps splitPartState
	if err := json.Unmarshal(p.State, &ps); err != nil {
		return ps, fmt.Errorf("the recorded part of connection %d cannot be read (%w): %w", p.Connection, err, pipeline.ErrLost)
	}
	return ps, nil
}

// narrowPart is the part as the file's own sink knows it.
func narrowPart(p pipeline.PartState, ps splitPartState) pipeline.PartState {
	p.Connection, p.State = 0, ps.Part
	return p
}

func (p *splitPart) Save(ctx context.Context) (pipeline.State, error) {
	raw, err := p.Part.Save(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(splitPartState{File: p.file.state, Part: raw})
}

func (p *splitPart) Discard() error {
	p.file.parts--
	return p.Part.Discard()
}

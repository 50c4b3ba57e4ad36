package sheetsfake

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
)

// mostSubrequests is what a batch takes at most.
const mostSubrequests = 100_000

// batchRequest is the body of a batchUpdate.
type batchRequest struct {
	Requests                     []request `json:"requests"`
	IncludeSpreadsheetInResponse bool      `json:"includeSpreadsheetInResponse"`
	ResponseIncludeGridData      bool      `json:"responseIncludeGridData"`
	ResponseRanges               []string  `json:"responseRanges"`
}

// request is a subrequest: one of these.
type request struct {
	AddSheet                *addSheet       `json:"addSheet"`
	DeleteSheet             *sheetID        `json:"deleteSheet"`
	UpdateSheetProperties   *updateProps    `json:"updateSheetProperties"`
	UpdateCells             *updateCells    `json:"updateCells"`
	RepeatCell              *repeatCell     `json:"repeatCell"`
	CopyPaste               *copyPaste      `json:"copyPaste"`
	CutPaste                *cutPaste       `json:"cutPaste"`
	AppendDimension         *appendDim      `json:"appendDimension"`
	DeleteDimension         *deleteDim      `json:"deleteDimension"`
	CreateDeveloperMetadata *createMetadata `json:"createDeveloperMetadata"`
	UpdateDeveloperMetadata *updateMetadata `json:"updateDeveloperMetadata"`
	DeleteDeveloperMetadata *deleteMetadata `json:"deleteDeveloperMetadata"`
}

// batch is one batchUpdate at work.
type batch struct {
	*state
	opt  Options
	i    int // of the subrequest
	kind string
}

func (b *batch) bad(format string, args ...any) *apiError {
	return invalid(b.i, b.kind, format, args...)
}

// strict decodes a body that may have no names but those known.
func strict(body []byte, to any) *apiError {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return newError(http.StatusBadRequest, "badRequest", "Invalid JSON payload received. "+err.Error())
	}
	return nil
}

// batchUpdate applies all subrequests in order, or none.
func (b *Book) batchUpdate(o Options, c *Call) (any, *apiError) {
	var r batchRequest
	if err := strict(c.Body, &r); err != nil {
		return nil, err
	}
	switch {
	case len(r.Requests) == 0:
		return nil, newError(http.StatusBadRequest, "badRequest", "Must specify at least one request.")
	case len(r.Requests) > mostSubrequests:
		return nil, newError(http.StatusBadRequest, "badRequest", "Too many requests in the batch.")
	}
	w := &batch{state: b.state.clone(), opt: o}
	done := Batch{Bytes: len(c.Body)}
	for i := range r.Requests {
		kind, n := r.Requests[i].which()
		w.i, w.kind = i, kind
		if n != 1 {
			return nil, newError(http.StatusBadRequest, "badRequest", "Invalid value at 'requests': each has exactly one kind.")
		}
		if err := w.apply(&r.Requests[i]); err != nil {
			return nil, err
		}
		done.Kinds = append(done.Kinds, kind)
	}
	b.state = w.state
	b.batches = append(b.batches, done)
	return map[string]any{"spreadsheetId": b.id}, nil
}

// which is the name of a subrequest's kind, and how many it has.
func (r *request) which() (kind string, n int) {
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			kind, _, _ = strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			n++
		}
	}
	return kind, n
}

func (b *batch) apply(r *request) *apiError {
	switch {
	case r.AddSheet != nil:
		return b.addSheet(&r.AddSheet.Properties)
	case r.DeleteSheet != nil:
		return b.deleteSheet(r.DeleteSheet.SheetID)
	case r.UpdateSheetProperties != nil:
		return b.updateProps(r.UpdateSheetProperties)
	case r.UpdateCells != nil:
		return b.updateCells(r.UpdateCells)
	case r.RepeatCell != nil:
		return b.repeatCell(r.RepeatCell)
	case r.CopyPaste != nil:
		return b.copyPaste(r.CopyPaste)
	case r.CutPaste != nil:
		return b.cutPaste(r.CutPaste)
	case r.AppendDimension != nil:
		return b.appendDim(r.AppendDimension)
	case r.DeleteDimension != nil:
		return b.deleteDim(r.DeleteDimension)
	case r.CreateDeveloperMetadata != nil:
		return b.createMetadata(&r.CreateDeveloperMetadata.DeveloperMetadata)
	case r.UpdateDeveloperMetadata != nil:
		return b.updateMetadata(r.UpdateDeveloperMetadata)
	default:
		return b.deleteMetadata(&r.DeleteDeveloperMetadata.DataFilter)
	}
}

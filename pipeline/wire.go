package pipeline

import (
	"time"
)

// WireRequest is what a receiver gets at a time: bytes on a disk that are never changed, and never made again, once a
// record names them. It is sent as it is, or not at all.
type WireRequest struct {
	Number     int    `json:"n"`     // in the destination's order, from 1
	Round      int    `json:"round"` // in which it was staged
	Key        string `json:"key"`   // the same for the same bytes, in whatever process: the receiver goes by it
	File       string `json:"file"`  // in the fence's folder
	Offset     int64  `json:"at"`
	Length     int64  `json:"len"`
	SHA256     string `json:"sha256"` // of the bytes, hexadecimal
	Rows       int64  `json:"rows"`
	Connection int    `json:"conn"`               // whose rows these are; OfAll
	Closing    bool   `json:"closing,omitempty"`  // it has no rows, and follows all others of its round
	Type       string `json:"type,omitempty"`     // of its content
	Encoding   string `json:"encoding,omitempty"` // of the bytes: "gzip"; "" for none
}

// OfAll is the connection of a request with the rows of several.
const OfAll = -1

// Receipt is a receiver's yes.
type Receipt struct {
	Number   int       `json:"n"` // of the request
	Status   int       `json:"status"`
	ID       string    `json:"id,omitempty"` // what the receiver calls it
	At       time.Time `json:"at"`
	Attempts int       `json:"attempts"` // on the wire, of this process
	Notes    []string  `json:"notes,omitempty"`
}

// Letter is a request that its receiver will not take, or of which nobody knows whether it took it. Its bytes stay.
type Letter struct {
	Number int       `json:"n"`
	Status int       `json:"status,omitempty"`
	Error  string    `json:"error"`
	Answer string    `json:"answer,omitempty"` // what the receiver said: bounded, printable, without secrets
	At     time.Time `json:"at"`
	// Unknown says that the receiver may have taken it, and may have forgotten its key since.
	Unknown bool `json:"unknown,omitempty"`
}

// Delivery sums the outbox up for a report.
type Delivery struct {
	Requests int      `json:"requests"`
	Sent     int      `json:"sent"`
	Refused  int      `json:"refused,omitempty"` // letters
	Dropped  int      `json:"dropped,omitempty"` // letters that were given up
	Rows     int64    `json:"rows"`              // of those sent
	Bytes    int64    `json:"bytes"`
	Last     *Receipt `json:"last,omitempty"`
	IDs      []string `json:"ids,omitempty"` // what the receiver calls them; the first maxIDs
}

package minitds

import (
	"context"
	"encoding/binary"
)

// Tokens [MS-TDS] 2.2.7.
const (
	tokenColumns      = 0x81
	tokenError        = 0xAA
	tokenInfo         = 0xAB
	tokenReturnStatus = 0x79
	tokenLoginAck     = 0xAD
	tokenRow          = 0xD1
	tokenNullRow      = 0xD2 // NBCROW: a bit for each NULL
	tokenEnvChange    = 0xE3
	tokenDone         = 0xFD
	tokenDoneProc     = 0xFE
	tokenDoneInProc   = 0xFF
)

// Status bits of DONE [MS-TDS] 2.2.7.6.
const (
	doneMore        = 0x001
	doneError       = 0x002
	doneCount       = 0x010
	doneAttention   = 0x020
	doneServerError = 0x100
)

// Response writes the answer to one request. Its methods fail once the client has cancelled or gone.
type Response struct {
	session   *session
	ctx       context.Context
	procedure bool
	columns   []Column
	rows      uint64
	buffer    []byte
	broken    error
}

func (w *Response) put(b []byte) {
	if w.broken == nil {
		_, w.broken = w.session.w.Write(b)
	}
}

// finish ends the message.
func (w *Response) finish() error {
	if w.broken != nil {
		return w.broken
	}
	return w.session.w.end()
}

// Columns begins a result.
func (w *Response) Columns(columns ...Column) error {
	w.columns, w.rows = columns, 0
	b := binary.LittleEndian.AppendUint16([]byte{tokenColumns}, uint16(len(columns)))
	for i := range columns {
		b = columns[i].appendMetadata(b)
	}
	w.put(b)
	return w.broken
}

// Row sends one row. Rows with a NULL are sent as NBCROW and as ROW in turns.
func (w *Response) Row(values ...any) error {
	b, err := appendRow(w.buffer[:0], w.columns, values, w.rows%2 == 0)
	if err != nil {
		return err
	}
	w.buffer = b
	return w.Encoded(b, 1)
}

// Encoded sends rows that EncodeRows made for these columns.
func (w *Response) Encoded(b []byte, rows int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.put(b)
	w.rows += uint64(rows)
	return w.broken
}

// EncodeRows makes the bytes of rows, to be sent again and again at no cost.
func EncodeRows(columns []Column, rows [][]any) (b []byte, err error) {
	for i, r := range rows {
		if b, err = appendRow(b, columns, r, i%2 == 0); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Next ends a result that another one follows.
func (w *Response) Next() error {
	token := byte(tokenDone)
	if w.procedure {
		token = tokenDoneInProc
	}
	w.done(token, doneMore|doneCount, w.rows)
	w.rows = 0
	return w.broken
}

// Info sends a message that is no error, as PRINT does.
func (w *Response) Info(text string) error {
	w.info(&Error{Message: text})
	return w.broken
}

// Flush sends what has been written, so that the client has it while the rest is waited for.
func (w *Response) Flush() error {
	if w.broken == nil {
		w.broken = w.session.w.flush()
	}
	return w.broken
}

// end says that the request is done.
func (w *Response) end(status uint16) {
	if !w.procedure {
		if w.columns != nil {
			status |= doneCount
		}
		w.done(tokenDone, status, w.rows)
		return
	}
	if w.columns != nil {
		w.done(tokenDoneInProc, doneMore|doneCount, w.rows)
	}
	w.put([]byte{tokenReturnStatus, 0, 0, 0, 0})
	w.done(tokenDoneProc, status, 0)
}

func (w *Response) done(token byte, status uint16, rows uint64) {
	const selectCommand = 0xC1
	b := binary.LittleEndian.AppendUint16([]byte{token}, status)
	b = binary.LittleEndian.AppendUint16(b, selectCommand)
	w.put(binary.LittleEndian.AppendUint64(b, rows))
}

func (w *Response) error(e *Error) { w.message(tokenError, e) }
func (w *Response) info(e *Error)  { w.message(tokenInfo, e) }

func (w *Response) message(token byte, e *Error) {
	class, state := e.Class, e.State
	if class == 0 && token == tokenError {
		class = 16
	}
	text := toUTF16(e.Message)
	name := utf16Counted("MINITDS")
	b := binary.LittleEndian.AppendUint16([]byte{token}, uint16(4+1+1+2+len(text)+len(name)+1+4))
	b = binary.LittleEndian.AppendUint32(b, uint32(e.Number))
	b = append(b, state, class)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)/2))
	b = append(append(b, text...), name...)
	w.put(append(b, 0 /* procedure */, 1, 0, 0, 0 /* line */))
}

// environment is ENVCHANGE [MS-TDS] 2.2.7.9; the values come with their lengths.
func (w *Response) environment(kind byte, now, before []byte) {
	b := binary.LittleEndian.AppendUint16([]byte{tokenEnvChange}, uint16(1+len(now)+len(before)))
	w.put(append(append(append(b, kind), now...), before...))
}

package minitds

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Answer is what a query returns.
type Answer struct {
	Columns []Column // none: a statement that returns no rows
	Claimed []Column // what describing it says, if that is not Columns
	Rows    [][]any
	Times   int                    // the rows are sent this often; 0 is once
	Count   int                    // as many rows are made by Make, after Rows
	Make    func(n int, row []any) // fills row n, counted from 0
	Where   func(q *Request) bool  // the rows are sent only if it says so
	Info    string                 // a message before the rows
	Err     *Error                 // after the rows
	Cut     bool                   // after the rows the connection drops
	Hang    bool                   // after the rows nothing comes, until a cancel
	Then    *Answer                // another result
	Opaque  bool                   // the server cannot say its columns without running it
	Tricks  bool                   // it is Opaque, and says SET FMTONLY OFF: it runs also where only its columns are asked for
	Does    []string               // when it runs, before its rows: begin, commit, rollback, or a write of this name
	Late    []string               // the same, after its rows
}

// Script answers queries by their text, and calls by their procedure's name, and does for the rest what a server
// does: it describes them, accepts SET, tells its version. A text that it does not have is error 208.
type Script map[string]Answer

// Handler makes the script a server's handler.
func (s Script) Handler() Handler { return s.handle }

var errCut = errors.New("minitds: cut by the script")

func (s Script) handle(ctx context.Context, q *Request, w *Response) error {
	switch {
	case q.Procedure == "sp_describe_first_result_set":
		return s.describe(q, w)
	case q.Procedure != "" && q.Procedure != "sp_executesql":
		if a, ok := s[q.Procedure]; ok {
			return a.send(ctx, q, w)
		}
		return noProcedure(q.Procedure)
	}
	text := strings.TrimSpace(q.SQL)
	for {
		first, rest, _ := strings.Cut(text, ";")
		if _, known := s[text]; known {
			break
		}
		done, err := w.statement(first)
		if err != nil {
			return err
		}
		if !done {
			break
		}
		text = strings.TrimSpace(rest)
	}
	if text == "" {
		return nil
	}
	if a, ok := s[text]; ok {
		return a.send(ctx, q, w)
	}
	if strings.Contains(text, "snapshot_isolation_state") {
		if err := w.Columns(Column{Name: "state", Type: Int}, Column{Name: "name", Type: NVarChar(128)}); err != nil {
			return err
		}
		return w.Row(!w.session.server.config.NoSnapshot, "branch")
	}
	if strings.Contains(text, "SERVERPROPERTY") {
		major, minor := w.session.server.version()
		if err := w.Columns(Column{Name: "version", Type: NVarChar(128)}, Column{Name: "babelfish", Type: NVarChar(128)}); err != nil {
			return err
		}
		var babelfish any
		if w.session.server.config.Babelfish {
			babelfish = "1"
		}
		return w.Row(fmt.Sprintf("%d.%d.4261.1", major, minor), babelfish)
	}
	if own, known := map[string]int{"SELECT @@TRANCOUNT AS level": w.session.tran.level, "SELECT @@OPTIONS & 16384 AS xact_abort": 0}[text]; known {
		if err := w.Columns(Column{Name: "n", Type: Int}); err != nil {
			return err
		}
		return w.Row(own)
	}
	return notFound(text)
}

func noProcedure(name string) *Error {
	return &Error{Number: 2812, State: 62, Message: "Could not find stored procedure '" + name + "'."}
}

// notFound is what a server says to a text that is not in the script: a query of a table that is not there, or the
// name of a procedure.
func notFound(text string) *Error {
	words := strings.Fields(text)
	if len(words) == 0 || !strings.EqualFold(words[0], "select") {
		return noProcedure(strings.Join(words[:min(len(words), 1)], ""))
	}
	for i, w := range words[:len(words)-1] {
		if strings.EqualFold(w, "from") {
			return &Error{Number: 208, State: 1, Message: "Invalid object name '" + strings.Trim(words[i+1], "();") + "'."}
		}
	}
	return &Error{Number: 102, State: 1, Class: 15, Message: "Incorrect syntax near '" + words[len(words)-1] + "'."}
}

func (a *Answer) send(ctx context.Context, q *Request, w *Response) error {
	if w.session.describing && !a.Tricks {
		switch {
		case a.Opaque:
			return &Error{Number: 208, State: 0, Message: "Invalid object name '#t'."}
		case a.Columns == nil:
			if a.Err != nil {
				return a.Err
			}
			return nil
		}
		return w.Columns(a.Columns...)
	}
	if err := w.does(a.Does); err != nil {
		return err
	}
	if a.Info != "" {
		if err := w.Info(a.Info); err != nil {
			return err
		}
	}
	if a.Columns != nil {
		if err := a.rows(q, w); err != nil {
			return err
		}
	}
	if err := w.does(a.Late); err != nil {
		return err
	}
	if a.Hang {
		if err := w.Flush(); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	if a.Cut {
		_ = w.Flush()
		return errCut
	}
	if a.Err != nil {
		return a.Err
	}
	if a.Then != nil {
		if err := w.Next(); err != nil {
			return err
		}
		return a.Then.send(ctx, q, w)
	}
	return nil
}

func (a *Answer) rows(q *Request, w *Response) error {
	if err := w.Columns(a.Columns...); err != nil {
		return err
	}
	if len(a.Rows) > 0 && (a.Where == nil || a.Where(q)) {
		encoded, err := EncodeRows(a.Columns, a.Rows)
		if err != nil {
			return err
		}
		for range max(a.Times, 1) {
			if err := w.Encoded(encoded, len(a.Rows)); err != nil {
				return err
			}
		}
	}
	row := make([]any, len(a.Columns))
	for n := range a.Count {
		a.Make(n, row)
		if err := w.Row(row...); err != nil {
			return err
		}
	}
	return nil
}

// described are the columns of sp_describe_first_result_set that drivers read, in its order.
var described = []Column{
	{Name: "is_hidden", Type: Bit, NotNull: true}, {Name: "column_ordinal", Type: Int, NotNull: true}, {Name: "name", Type: NVarChar(128)},
	{Name: "is_nullable", Type: Bit, NotNull: true}, {Name: "system_type_id", Type: Int, NotNull: true}, {Name: "system_type_name", Type: NVarChar(256)},
	{Name: "max_length", Type: SmallInt, NotNull: true}, {Name: "precision", Type: TinyInt, NotNull: true}, {Name: "scale", Type: TinyInt, NotNull: true},
	{Name: "collation_name", Type: NVarChar(128)}, {Name: "user_type_id", Type: Int}, {Name: "user_type_database", Type: NVarChar(128)},
	{Name: "user_type_schema", Type: NVarChar(128)}, {Name: "user_type_name", Type: NVarChar(128)},
}

// describe answers sp_describe_first_result_set(@tsql, @params), which servers have since 2012.
func (s Script) describe(q *Request, w *Response) error {
	if major, _ := w.session.server.version(); major < 11 || w.session.server.config.Babelfish {
		return noProcedure(q.Procedure)
	}
	text := ""
	if len(q.Params) > 0 {
		text, _ = q.Params[0].Value.(string)
	}
	text = strings.TrimSpace(text)
	a, ok := s[text]
	switch {
	case !ok && text != "":
		w.error(notFound(text))
		return &Error{Number: 11501, State: 2, Message: "The batch could not be analyzed because of compile errors."}
	case a.Opaque, a.Tricks:
		return &Error{Number: 11526, State: 1, Message: "The metadata could not be determined because statement '...' uses a temp table."}
	case a.Columns == nil && a.Err != nil:
		w.error(a.Err)
		return &Error{Number: 11501, State: 2, Message: "The batch could not be analyzed because of compile errors."}
	}
	if err := w.Columns(described...); err != nil {
		return err
	}
	columns := a.Columns
	if a.Claimed != nil {
		columns = a.Claimed
	}
	for i, c := range columns {
		var name, systemType, userType any
		if c.Name != "" {
			name = c.Name
		}
		if systemType = c.Type.name; c.Type.class != "" {
			systemType, userType = nil, c.Type.class
		}
		size := c.Type.size
		if size == maxSize {
			size = -1
		}
		if err := w.Row(false, i+1, name, !c.NotNull, c.Type.id, systemType, size, int(c.Type.precision), int(c.Type.scale), nil, nil, nil, nil, userType); err != nil {
			return err
		}
	}
	return nil
}

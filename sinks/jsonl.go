package sinks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// init registers the destination "jsonl": JSON Lines, one JSON object [RFC 8259] for each row, UTF-8, a line each
// that ends in "\n". The rows of a connection stand together, the connections in the order in which they were
// committed.
//
// Every object has the same keys in the same order, those of the run's schema: NULL, and a column that the connection
// lacks, are null. Columns are matched by name, as in a CSV; what would be a key twice gets a number behind it, for
// most readers keep one of two equal keys.
//
// A column is one kind of value in the whole file. Numbers have all the digits that the database has; JSON sets no
// limit, but many readers do, see "numbers". NaN and the infinities, for which JSON has no number, are null, and
// counted.
func init() {
	fileKind(pipeline.SinkKind{
		Name:        "jsonl",
		Label:       "JSON Lines",
		Description: "A JSON Lines file with the rows of one query of all connections, an object a line. With several queries there is a file for each.",
		Example:     "D:/Exports/{jobName} {date}.jsonl",
		Options:     jsonlTable,
		Traits:      pipeline.Traits{OneQuery: true, OneSchema: true},
		Count:       countJSONL,
		Check: func(d *pipeline.Destination) error {
			o, err := readJSONLOptions(d.Options)
			return errors.Join(err, checkCompression(d, o.compression))
		},
	}, newJSONLFile)
}

// jsonlTable has the destination's keys beside id, type, filePath and mode.
var jsonlTable = []pipeline.Option{
	{Name: "numbers", Types: []string{"string"}, Enum: []string{"number", "string"}, Default: "number",
		Description: "`number`: whole numbers and decimals have all the digits that the database has; `string`: they are texts, for readers that make doubles of all numbers, which keep 15 digits."},
	{Name: "connectionColumn", Types: []string{"boolean", "string"}, Default: false,
		Description: "`true`: the first key is `_connection`, the connection's name; a text is the key's name.", Example: "branch"},
	compressionOption,
	columnsOption(map[string]any{"invoice_no": map[string]any{"rename": "invoiceNo"}}),
}

// jsonlOptions are the destination's own keys.
type jsonlOptions struct {
	strings     bool       // decimals and whole numbers are strings
	names       csvOptions // what both formats ask of columns
	compression string     // "" if the file's ending decides
}

func readJSONLOptions(raw json.RawMessage) (jsonlOptions, error) {
	var keys struct {
		Numbers          string                `json:"numbers"`
		ConnectionColumn any                   `json:"connectionColumn"`
		Compression      string                `json:"compression"`
		Columns          map[string]columnKeys `json:"columns"`
	}
	if err := pipeline.DecodeOptions(raw, jsonlTable, &keys); err != nil {
		return jsonlOptions{}, fmt.Errorf("jsonl %w", err)
	}
	o := jsonlOptions{strings: keys.Numbers == "string", compression: keys.Compression}
	var p problems
	o.names.connection = p.connectionColumn(keys.ConnectionColumn)
	for _, name := range slices.Sorted(maps.Keys(keys.Columns)) {
		c := keys.Columns[name]
		p.rename(name, c.Rename)
		o.names.columns = append(o.names.columns, csvColumn{name: name, rename: c.header(), hide: c.Hide, order: c.Order})
	}
	p.places(keys.Columns)
	return o, errors.Join(p...)
}

// jsonlFile is the format of one JSON Lines file.
type jsonlFile struct {
	lines
	options jsonlOptions
}

func newJSONLFile(f *file) (fileFormat, error) {
	o, err := readJSONLOptions(f.dest.Options)
	if err != nil {
		return nil, err
	}
	j := &jsonlFile{options: o}
	if j.lines, err = newLines(f, &j.options.names, o.compression); err != nil {
		return nil, err
	}
	return j, nil
}

func (s *jsonlFile) open(id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, _ pipeline.Rows) (pipeline.Part, error) {
	var st jsonlPartState
	part, names, err := s.part(id, o, from, &st, &st.linesPartState)
	if err != nil {
		return nil, err
	}
	return s.newPart(id, part, o, names, st), nil
}

func (s *jsonlFile) assemble(_ context.Context, parts []pipeline.Part) (*assembly, error) {
	files := make([]*artifact.Part, len(parts))
	var text, rows int64
	for i, p := range parts {
		part := p.(*jsonlPart)
		files[i] = part.file
		text, rows = text+part.text, rows+part.file.Length()
	}
	var head []byte
	if s.length() > 0 && s.table.artifact.State().Commits == 0 && s.unended {
		// A line end that the last line of an earlier run lacks.
		head = []byte{'\n'}
	}
	text += int64(len(head))
	head = s.beginning(head, rows > 0)
	return &assembly{files: files, staged: func() { s.committed(text) }, write: func(w io.Writer) error {
		if len(head) > 0 {
			if _, err := w.Write(head); err != nil {
				return err
			}
		}
		return copyParts(w, files)
	}}, nil
}

// inspect looks whether rows can follow what is in the file: lines of objects, with the keys of this run.
func (s *jsonlFile) inspect(r io.ReaderAt, size int64) error {
	seen, err := s.look(r, size)
	if err != nil || seen.length == 0 {
		return err
	}
	s.unended = seen.last != '\n'
	keys, err := firstKeys(bytes.NewReader(seen.head))
	if err != nil {
		return s.refuse("its first line is no JSON object (%v)", err)
	}
	if s.table.header.names == nil {
		if column := s.options.names.connection; column != "" && keys[0] == column {
			keys = keys[1:]
		}
		s.table.header.names = keys
		return nil
	}
	if want := jsonKeys(s.table.header.line(s.table.header.names)); !slices.Equal(keys, want) {
		return s.refuse("its objects have the keys %s, and those of this run %s", strings.Join(keys, ", "), strings.Join(want, ", "))
	}
	return nil
}

// firstKeys are the keys of the object that r begins with, in their order.
func firstKeys(r io.Reader) (keys []string, err error) {
	d := json.NewDecoder(r)
	t, err := d.Token()
	if err == nil && t != json.Delim('{') {
		return nil, fmt.Errorf("it begins with %v", t)
	}
	for err == nil && d.More() {
		if t, err = d.Token(); err == nil {
			keys = append(keys, t.(string))
			var value json.RawMessage
			err = d.Decode(&value)
		}
	}
	if err == nil && len(keys) == 0 {
		err = errors.New("it has no keys")
	}
	return keys, err
}

// jsonKeys makes the names of columns different from each other: the later one of two gets a number.
func jsonKeys(names []string) []string {
	taken := make(map[string]bool, len(names))
	for _, name := range names {
		taken[name] = true
	}
	keys, used := make([]string, len(names)), make(map[string]bool, len(names))
	for i, name := range names {
		key := name
		for n := 2; used[key]; n++ {
			if next := fmt.Sprintf("%s_%d", name, n); !taken[next] {
				key = next
			}
		}
		keys[i], used[key] = key, true
	}
	return keys
}

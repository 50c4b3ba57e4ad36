package main

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/parquet/file"

	"fanmill/sinks/parquet"
)

// damaged are files with one mistake each in the statistics of a column, as other writers have made them.
func (s *samples) damaged() error {
	p := patterns["third-null"]
	good, err := p.write(parquet.Options{}, 0, p.rows)
	if err != nil {
		return err
	}
	for name, change := range map[string]func(low, high *[]byte){
		"lowered": func(low, high *[]byte) { *high = *low },
		"raised":  func(low, high *[]byte) { *low = *high },
	} {
		for i, c := range columns {
			if c.sql == nil {
				continue
			}
			data, err := withBounds(good, i, change)
			if err != nil {
				return err
			}
			if err := s.add("damaged-"+name+"-"+c.Name+".parquet", data, true, about(c.Name, p.queries())); err != nil {
				return err
			}
		}
	}
	return nil
}

// about are the queries that name a column.
func about(column string, all []query) (some []query) {
	for _, q := range all {
		if strings.Contains(q.SQL, strconv.Quote(column)) {
			some = append(some, q)
		}
	}
	return some
}

// withBounds is a file with other bounds of a column in its footer.
func withBounds(data []byte, column int, change func(low, high *[]byte)) ([]byte, error) {
	r, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	footer := r.MetaData()
	for _, g := range footer.RowGroups {
		stats := g.Columns[column].MetaData.Statistics
		change(&stats.MinValue, &stats.MaxValue)
		stats.Min, stats.Max = nil, nil
	}
	length := binary.LittleEndian.Uint32(data[len(data)-8:])
	out := bytes.NewBuffer(bytes.Clone(data[:len(data)-8-int(length)]))
	n, err := footer.WriteTo(out, nil)
	if err != nil {
		return nil, err
	}
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	out.WriteString("PAR1")
	return out.Bytes(), nil
}

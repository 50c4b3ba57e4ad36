package parquet

import "github.com/apache/arrow-go/v18/parquet/metadata"

// bounded reports whether a reader may take the bounds of a column of a row group for those of its values. All NULL, it
// has none and needs none.
func bounded(footer *metadata.FileMetaData, group, column int) bool {
	m := footer.RowGroups[group].Columns[column].MetaData
	s := m.Statistics
	return s != nil && s.NullCount != nil && (*s.NullCount == m.NumValues || s.MinValue != nil && s.MaxValue != nil)
}

// dropBounds leaves out the bounds of a column of a row group. The number of NULLs stays.
func dropBounds(footer *metadata.FileMetaData, group, column int) {
	if s := footer.RowGroups[group].Columns[column].MetaData.Statistics; s != nil {
		s.Min, s.Max, s.MinValue, s.MaxValue, s.IsMinValueExact, s.IsMaxValueExact = nil, nil, nil, nil, nil, nil
	}
}

// dropUnevenBounds leaves out the bounds of a column that some row group has no bounds for, because of a long text or a
// NaN. Readers make the bounds of a file from those that are there.
func dropUnevenBounds(footer *metadata.FileMetaData) {
	for column := range footer.Schema.NumColumns() {
		for group := range footer.RowGroups {
			if bounded(footer, group, column) {
				continue
			}
			for group := range footer.RowGroups {
				dropBounds(footer, group, column)
			}
			break
		}
	}
}

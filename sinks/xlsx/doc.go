// Package xlsx writes Excel workbooks that grow by appending. Rows are encoded batch by batch into independently
// compressed pieces of worksheet XML (Encoder), on as many cores as there are; a Workbook then appends finished sheets to
// a file, and after every append the file up to that length is a complete workbook.
//
// A ZIP archive is read from its directory, which stands at the end. An append writes the new sheets' entries, a fresh
// workbook.xml with its relations and content types, and a directory that names old and new entries, all after the old
// end: nothing earlier is touched, so the fortieth sheet costs what the first one cost. What a later append made
// obsolete stays behind as dead bytes until Compact copies the live entries, without recompressing them.
//
// After all sheets may stand a Page, a small sheet such as a summary, which every append can replace. Totals are the exact sums
// of columns, made on the way. What is to be found again with a sheet is kept beside it as its facts. Load reads the state of
// a workbook back, and refuses what another program has saved.
//
// The formats are those of [ECMA-376] part 1 (SpreadsheetML, transitional), [APPNOTE] (ZIP) and [RFC 1951] (deflate). The
// package reads no clock and draws no random numbers: the same calls give the same bytes.
package xlsx

// Limits of Excel, "Excel specifications and limits".
const (
	MaxRows      = 1_048_576 // rows of a sheet, its header included
	MaxColumns   = 16_384
	MaxCellUnits = 32_767 // UTF-16 code units of a cell's text
	MaxNameUnits = 31     // UTF-16 code units of a sheet's name
)

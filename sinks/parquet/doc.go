// Package parquet writes Parquet files from batches. It knows the format, not the commit protocol.
//
// A Writer turns the batches of one or several connections into row groups and ends with a footer: what it wrote is a
// complete Parquet file, also called a part here. A File joins parts: it copies row groups as they are, rewrites small
// ones into larger ones, and writes a footer that names them all. The footer stands at the end and its offsets are
// absolute, so a File can go on behind an older footer: nothing earlier is touched, and the file is complete after each
// Finish. Older footers stay behind as dead bytes until the file is joined anew.
//
//	"PAR1" | row groups | footer | row groups | footer
//	       |<------ Finish ----->|<------ Finish --->|
//
// Columns are optional, stand in the given order, and have logical types. Pages are of version 1, with plain,
// dictionary and RLE encoding, which every reader knows. Bounds (min and max) stand in the footer for a column of a
// file in all of its row groups or in none: readers take the bounds of a file from those groups that have them. No
// bound is longer than 256 bytes.
//
// The format is that of [parquet-format] 2.12 (parquet.thrift, LogicalTypes.md, Encodings.md). The package reads no
// clock and draws no random numbers: the same calls give the same bytes.
package parquet

// Limits of row groups and pages.
const (
	// DefaultGroupBytes bounds a row group, in bytes of values before encoding and compression.
	DefaultGroupBytes = 64 << 20
	// MaxGroupRows bounds a row group in rows.
	MaxGroupRows = 1 << 20
	// MaxGroups is how many row groups a file can have: [parquet-format] numbers them with 16 bits (RowGroup.ordinal).
	MaxGroups = 1<<15 - 1

	maxPageRows  = 20_000 // as parquet-java has it; a page of NULLs has no bytes that would end it
	maxPageBytes = 1 << 20
	// A column with more distinct values is written plainly: looking for them costs more than all else.
	maxDictionaryBytes = 256 << 10

	maxBound = 256 // bytes of a bound in the footer
)

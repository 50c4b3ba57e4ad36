package pipeline

import "io"

// CountedFile is a file whose rows are to be counted.
type CountedFile struct {
	R      io.ReaderAt // may be read by several goroutines
	Size   int64
	Report *Report // of the file; its Format has the layout
}

// Counts is what a file holds beside what its report says.
type Counts struct {
	Shares []Share
	Rows   int64    // of all shares
	Faults []string // what else is not as the report says, such as a sheet that is missing
	Note   string   // what could not be counted apart, and why
}

// Share is the rows that can be counted apart in a file.
type Share struct {
	Of        string // the connection's name; of several connections, what they are
	Has, Want int64  // rows of the file, rows of the report
}

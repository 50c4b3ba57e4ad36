package sheets

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"fanmill/pipeline/columnar"
)

// Keys of our developer metadata. Their characters count against Google's budget.
const (
	markKey   = "fanmill"
	ledgerKey = "fm." // and 4 characters of the owner's hash
)

// Google's budget of developer metadata is 30,000 characters for the spreadsheet itself, and as many for each tab; a
// third is left to others.
const mostLedger = 20_000

// ledgerCharacters is what a run's ledger takes at most of connections with fewer than 10^10 rows together.
func ledgerCharacters(connections int) int {
	const entry, fence = 18, 40
	return connections*entry + fence
}

// hash is 16 characters that name a list of texts.
func hash(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(sum(parts)[:12])
}

// id31 is a number from 1 to 2^31-1 that names a list of texts: Google's ids are of 32 bits with a sign.
func id31(parts ...string) int64 {
	return max(1, int64(binary.BigEndian.Uint32(sum(parts))&(1<<31-1)))
}

func sum(parts []string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write(strconv.AppendInt(nil, int64(len(p)), 10))
		_, _ = h.Write([]byte{':'})
		_, _ = h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// mark is what a tab of ours says of itself.
type mark struct {
	hidden     bool // a stage: rows on their way
	connection string
	table      int
	rows, cols int64  // of our cells, with the header
	columns    string // hash of the header
	birth      string // hash of the run that wrote last
	epoch      uint64 // of a stage
}

// value is the mark as metadata: the owner's signature over this very tab, and the fields. A copy of the tab, or of the
// spreadsheet, carries a signature that is none.
func (m *mark) value(owner string, sheet int64) string {
	kind := "tab"
	if m.hidden {
		kind = "stage"
	}
	return strings.Join([]string{hash("mark", owner, strconv.FormatInt(sheet, 10)), kind, m.connection, strconv.Itoa(m.table),
		strconv.FormatInt(m.rows, 10), strconv.FormatInt(m.cols, 10), m.columns, m.birth, strconv.FormatUint(m.epoch, 10)}, ":")
}

// parseMark reads a mark; ok is false if it is not this owner's of this tab.
func parseMark(value, owner string, sheet int64) (m mark, ok bool) {
	f := strings.Split(value, ":")
	if len(f) != 9 || f[0] != hash("mark", owner, strconv.FormatInt(sheet, 10)) {
		return m, false
	}
	var errs [4]error
	m = mark{hidden: f[1] == "stage", connection: f[2], columns: f[6], birth: f[7]}
	m.table, errs[0] = strconv.Atoi(f[3])
	m.rows, errs[1] = strconv.ParseInt(f[4], 10, 64)
	m.cols, errs[2] = strconv.ParseInt(f[5], 10, 64)
	m.epoch, errs[3] = strconv.ParseUint(f[8], 10, 64)
	return m, errs == [4]error{}
}

// fence is the claim that a spreadsheet shows.
type fence struct {
	id    int64
	began int64 // Unix milliseconds
	epoch uint64
	birth string
}

func (f *fence) value() string {
	return strconv.FormatInt(f.began, 36) + ":" + strconv.FormatUint(f.epoch, 36) + ":" + f.birth
}

func parseFence(id int64, value string) (f fence, ok bool) {
	parts := strings.Split(value, ":")
	if len(parts) != 3 || len(parts[2]) != birthLength {
		return f, false
	}
	began, err := strconv.ParseInt(parts[0], 36, 64)
	epoch, err2 := strconv.ParseUint(parts[1], 36, 64)
	return fence{id, began, epoch, parts[2]}, err == nil && err2 == nil
}

// after reports whether f is a later claim than o.
func (f *fence) after(o *fence) bool {
	if f.began != o.began {
		return f.began > o.began
	}
	return f.birth == o.birth && f.epoch > o.epoch
}

// birthLength is that of a run's hash in a fence.
const birthLength = 8

// value of a ledger entry: attempt, rows and first row.
func (s *Settled) value() string {
	return strconv.FormatInt(int64(s.Attempt), 36) + ":" + strconv.FormatInt(s.Rows, 36) + ":" + strconv.FormatInt(s.From, 36)
}

func parseSettled(value string) (s Settled, ok bool) {
	parts := strings.Split(value, ":")
	if len(parts) != 3 {
		return s, false
	}
	attempt, err := strconv.ParseInt(parts[0], 36, 32)
	rows, err2 := strconv.ParseInt(parts[1], 36, 64)
	from, err3 := strconv.ParseInt(parts[2], 36, 64)
	return Settled{int(attempt), rows, from}, err == nil && err2 == nil && err3 == nil
}

// columnsHash names a header.
func columnsHash(cols []columnar.Column) string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	return hash(names...)[:8]
}

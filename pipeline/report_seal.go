package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// A report that stands beside a file ends with a member that has the SHA-256 of all the others, so that damage to the
// report itself shows. It is over the JSON without white space: line ends that a mail program changes do not count.
// It is no signature: who rewrites report and checksum is not found out.
const (
	sealMember = `,"manifestSha256":"`
	sealEnd    = `"}`
)

// ErrReportEdited is of a report that is not as fanmill wrote it: it was damaged, or edited by hand.
var ErrReportEdited = errors.New("the manifest is not as fanmill wrote it")

// SealReport is the text of a report with the checksum of its members. It ends with a line end.
func SealReport(r *Report) ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	var bare bytes.Buffer
	if err := json.Compact(&bare, text); err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(text, []byte("\n}"))
	return fmt.Appendf(text, ",\n  \"manifestSha256\": %q\n}\n", sealOf(bare.Bytes())), nil
}

func sealOf(compact []byte) string {
	sum := sha256.Sum256(compact)
	return hex.EncodeToString(sum[:])
}

// ReadReport reads the text of a report. sealed says that it has its checksum, and matches it; a report that an
// earlier fanmill wrote has none. The error is ErrReportEdited if it does not match, with the report as it reads; any
// other error is of a text that is no report.
func ReadReport(text []byte) (r *Report, sealed bool, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // an editor's
	r = &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, false, err
	}
	if r.Run == "" && r.Artifact == "" && r.SHA256 == "" {
		return nil, false, errors.New("it is JSON, and not what fanmill writes of a file")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, false, err
	}
	all := compact.Bytes()
	end := len(all) - len(sealEnd) - hex.EncodedLen(sha256.Size)
	bare, found := []byte(nil), false
	if end > 0 {
		bare, found = bytes.CutSuffix(all[:end], []byte(sealMember))
	}
	if !found {
		if r.Format != nil || bytes.Contains(all, []byte("manifestSha256")) { // whoever writes one writes the other
			return r, false, ErrReportEdited
		}
		return r, false, nil
	}
	seal := string(all[end : len(all)-len(sealEnd)])
	if sealOf(append(bytes.Clone(bare), '}')) != seal {
		return r, false, ErrReportEdited
	}
	return r, true, nil
}

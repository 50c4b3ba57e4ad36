package notify

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"fanmill/pipeline"
)

// attachment is a file as it is sent.
type attachment struct {
	name string
	data []byte
}

// attachments are the files of a run that can be attached, and what is to be said of those that cannot. A file is of
// the run if the report beside it says so: another run may have replaced it meanwhile.
func (o *emailOptions) attachments(n *pipeline.Notice) (files []attachment, notes []string) {
	if !o.Attach {
		return nil, nil
	}
	left := o.MaxAttachment << 20
	for _, p := range n.Places {
		if p.Rows == 0 {
			continue
		}
		name := filepath.Base(p.File)
		skip := func(format string, args ...any) {
			notes = append(notes, fmt.Sprintf("%s is not attached: ", p.Destination)+fmt.Sprintf(format, args...))
		}
		switch {
		case p.File == "" && p.Files > 0:
			skip("it is a file for each connection, see %s", p.Where)
			continue
		case p.File == "":
			continue // no file
		}
		data, err := readRunFile(p.File, n.Run, left)
		if err != nil {
			skip("%v", err)
			continue
		}
		left -= int64(len(data))
		files = append(files, attachment{name, data})
	}
	return files, notes
}

// readRunFile reads a file of at most so many bytes, which the report beside it says is a run's.
func readRunFile(path, run string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not there for the process that sent this mail", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s has %s, and maxAttachment leaves %s", path, size(info.Size()), size(most))
	}
	text, err := os.ReadFile(path + ".manifest.json")
	var report pipeline.Report
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || report.Run != run || report.Length != info.Size() {
		return nil, fmt.Errorf("%s has changed since this run", path)
	}
	data, err := os.ReadFile(path)
	if err != nil || int64(len(data)) != info.Size() {
		return nil, fmt.Errorf("%s could not be read", path)
	}
	return data, nil
}

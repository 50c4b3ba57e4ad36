package screen

import "time"

// PlacesView lists on which hosts the files of jobs are. Its JSON is the list.
type PlacesView struct{ Files []FilesLine }

// FilesLine is a folder of a destination's files.
type FilesLine struct {
	JobID       string    `json:"job"`
	Destination string    `json:"destination"`
	Folder      string    `json:"folder"` // as the job spells it
	Host        string    `json:"host"`
	Home        string    `json:"home"` // the host with its data folder
	Since       time.Time `json:"since"`
	Run         string    `json:"run,omitempty"` // for which the host was chosen; "" if a person has
}

func (v PlacesView) data() any { return list(v.Files) }

func (v PlacesView) text(s *sheet) {
	if len(v.Files) == 0 {
		s.line(0, plain, "no files are bound to a host; the first run of a job that names no place binds its own")
		return
	}
	t := &table{columns: []column{{head: "Job", min: 8}, {head: "Destination", min: 6}, {head: "Folder", min: 8, spare: 2}, {head: "Host", min: 6}, {head: "Since"}, {head: "By", min: 6, spare: 3}}}
	for _, f := range v.Files {
		by := "fanmill place adopt"
		if f.Run != "" {
			by = "run " + clean(f.Run)
		}
		t.add(cell{text: clean(f.JobID)}, cell{text: clean(f.Destination)}, cell{text: clean(f.Folder)}, cell{text: clean(f.Host)}, cell{s.when(f.Since), dim}, cell{by, dim})
	}
	s.table(t, 0)
}

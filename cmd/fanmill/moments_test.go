package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
)

// Dates as programs write them into SQLite are dates and times in every destination, each by what it says itself; where
// only some have a zone that is said, and what stays a text is counted.
func TestDatesAsProgramsWriteThem(t *testing.T) {
	dsn := sqliteDB(t, `create table sale (id int, day date, at datetime); insert into sale values
		(1, '2024-02-29 00:00:00', '2024-02-29T13:45:06.123Z'), (2, '2024-02-29T00:00:00Z', '2024-02-29 13:45:06 +0530 IST m=+0.01'), (3, '2024-02-29', null),
		(4, '2024-03-01 00:00:00.000', '2024-02-29 13:45:06'), (5, '2024-03-01 10:00:00', '29/02/2024 13:45')`)
	w := &world{t: t, dir: t.TempDir()}
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4"}
	writeJob(t, w.job(), object{"id": "gst", "timeZone": "Asia/Kolkata", "query": "select * from sale order by id", "connections": []object{{"id": "a", "name": "Pune", "driver": "sqlite", "dsn": dsn}},
		"destinations": []object{csvTo(w.dir, "gst.csv", nil), {"type": "excel", "filePath": filepath.ToSlash(filepath.Join(w.dir, "gst.xlsx"))}}})
	w.mustRun(exitComplete, nil)
	text, err := os.ReadFile(filepath.Join(w.dir, "gst.csv"))
	want := "id,day,at\r\n1,2024-02-29,2024-02-29 19:15:06.123+05:30\r\n2,2024-02-29,2024-02-29 13:45:06+05:30\r\n3,2024-02-29,\r\n" +
		"4,2024-03-01,2024-02-29 13:45:06\r\n5,2024-03-01 10:00:00,29/02/2024 13:45\r\n"
	if err != nil || string(text) != want {
		t.Errorf("the CSV is %q, %v, want %q", text, err, want)
	}
	book, err := excelize.OpenFile(filepath.Join(w.dir, "gst.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	for cell, want := range map[string]string{"B2": "45351", "B3": "45351", "B4": "45351", "B5": "45352", "B6": "2024-03-01 10:00:00",
		"C2": "45351.80215420139", "C3": "45351.57298611111", "C5": "45351.57298611111", "C6": "29/02/2024 13:45"} {
		got, err := book.GetCellValue("Pune", cell, excelize.Options{RawCellValue: true})
		if err != nil || got != want {
			t.Errorf("cell %s is %s, %v, want %s", cell, got, err, want)
		}
	}
	for _, artifact := range []string{"gst.csv", "gst.xlsx"} {
		notes := manifestNotes(t, filepath.Join(w.dir, artifact), "a")
		for _, want := range []string{"dates and times with a time zone, which are shown in the job's, beside others without one, which are shown as they are: at (2 of 3)", "day: 1 of 5", "at: 1 of 4"} {
			if !strings.Contains(notes, want) {
				t.Errorf("%s does not say %s: %s", artifact, want, notes)
			}
		}
	}
	code, out, _ := call("preview", w.job())
	for _, want := range []string{"2024-02-29 19:15:06.123+05:30", "2024-02-29 13:45:06+05:30", "  4  2024-03-01           2024-02-29 13:45:06\n", "29/02/2024 13:45"} {
		if code != exitComplete || !strings.Contains(out, want) {
			t.Errorf("the preview does not show %s:\n%s", want, out)
		}
	}
}

package screen_test

import (
	"testing"

	"fanmill/internal/screen"
)

// The help of a command is laid out anew for every terminal; what is to be copied from it is not.
func TestParagraphs(t *testing.T) {
	const text = "run asks every\nconnection, several at a time.\n\n  fanmill run   gst.json --parallel 8\n\nExit codes:\n0, 1\n"
	for w, want := range map[int]string{
		0:  "run asks every connection, several at a time.\n\n  fanmill run   gst.json --parallel 8\n\nExit codes: 0, 1",
		20: "run asks every\nconnection, several\nat a time.\n\n  fanmill run   gst.json --parallel 8\n\nExit codes: 0, 1",
	} {
		if got := screen.Paragraphs(text, w); got != want {
			t.Errorf("in %d cells it is\n%s\nwant\n%s", w, got, want)
		}
	}
}

// A message that is longer than a line of the terminal is read without words torn apart, and where the next begins is seen.
func TestMessage(t *testing.T) {
	const text = "job.json:3:11: timeZone: \"Asia/Calcuta\" is no zone\n    deeper in it is too\nshort\n"
	for w, want := range map[int]string{
		0:  text,
		24: "job.json:3:11:\n  timeZone:\n  \"Asia/Calcuta\" is no\n  zone\n    deeper in it is\n      too\nshort\n",
	} {
		if got := screen.Hanging(text, w); got != want {
			t.Errorf("in %d cells it is\n%s\nwant\n%s", w, got, want)
		}
	}
}

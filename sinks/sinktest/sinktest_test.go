package sinktest

import (
	"testing"

	"fanmill/pipeline"
)

// Spooled destinations pass: requests that are sent by connection and all at the end, and a document.
func TestSpooled(t *testing.T) {
	for name, f := range map[string]fake{"stream": {requests: true}, "batch": {requests: true, atEnd: true}, "document": {}} {
		t.Run(name, func(t *testing.T) { Run(t, f.subject()) })
	}
}

// What a destination does wrong, the suite says. Without this a suite that checks nothing would look the same.
func TestBugsAreFound(t *testing.T) {
	for _, f := range []fake{
		{requests: true, bug: "a row is lost"},
		{requests: true, bug: "seen too early"},
		{requests: true, bug: "takes no for yes"},
		{requests: true, bug: "a key of its own"},
		{requests: true, bug: "ends without saying why"},
		{requests: true, bug: "files of a name"},
		{bug: "a row is lost"},
		{bug: "seen too early"},
		{bug: "ends without saying why"},
	} {
		t.Run(f.bug, func(t *testing.T) {
			s := f.subject()
			for _, c := range checks {
				if c.when != nil && !c.when(t, s) || c.name == "full disk" { // which would run all of this test again
					continue
				}
				if err := c.run(t, s); err != nil {
					t.Logf("%s: %v", c.name, err)
					return
				}
			}
			t.Error("the suite has found nothing")
		})
	}
}

// A destination that writes the public file as rows come is found out, whatever it does else.
func TestNaiveFileIsFound(t *testing.T) {
	s := naive(t)
	if err := crashes(t, s); err == nil {
		t.Error("no crash showed half a connection")
	} else {
		t.Log(err)
	}
	if s.Kind.Traits.Target != pipeline.TargetFile {
		t.Error("it is no file")
	}
}

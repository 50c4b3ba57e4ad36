package pipeline

import (
	"strings"
	"testing"
)

// What shells make of a trigger is named, with the spelling for them; what can be read is.
func TestTriggersFromShells(t *testing.T) {
	for payload, want := range map[string]string{
		"\ufeff{\"resume\":true}\r\n":            "",
		"\ufeff\r\n":                             "",
		"\n{ \"resume\" : true }\n":              "",
		`{resume:true}`:                          `its quotes were lost, most likely to the shell; write it in PowerShell 5 as '{\"resume\":true}', in cmd.exe as "{\"resume\":true}"`,
		`{ connections:[conn_3] }`:               "its quotes were lost",
		"\ufeff{resume:true}":                    "its quotes were lost",
		`{\"resume\":true}`:                      `which bash and PowerShell 7 leave there; write it for them as '{"resume":true}'`,
		`{\\\"resume\\\":true}`:                  "which bash and PowerShell 7 leave there",
		`'{resume:true}'`:                        `which cmd.exe does not take for a quote; write it there as "{\"resume\":true}"`,
		`'{"resume":true}'`:                      "which cmd.exe does not take for a quote",
		`{'resume':true}`:                        "its names stand between '",
		`{""resume"":true}`:                      "its quotes arrived doubled",
		`"{\"resume\":true}"`:                    "it arrived as one JSON text, with quotes around it",
		"{“resume”:true}":                        "typographic quotes",
		"{„resume“:true}":                        "typographic quotes",
		"\xff\xfe{\x00}\x00":                     "it is UTF-16",
		"{\x00}\x00":                             "it is UTF-16",
		"{\"params\":{\"city\":\"Z\x81rich\"}}":  "it is not UTF-8; in cmd.exe say chcp 65001",
		`{"params":{"quote":"“”"},"resum":true}`: `unknown field "resum"; send {}`,
		`{"resume":true,}`:                       `invalid character '}' looking for beginning of object key string; send {}`,
		`[]`:                                     "there is a JSON array in place of the object; send {}",
	} {
		tr, err := ReadTrigger([]byte(payload))
		switch {
		case want == "" && (err != nil || tr.Resume != strings.Contains(payload, "true")):
			t.Errorf("%q is read as %+v, %v", payload, tr, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !IsPermanent(err)):
			t.Errorf("%q: %v, want %q", payload, err, want)
		}
	}
}

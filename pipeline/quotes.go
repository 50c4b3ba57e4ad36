package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"unicode/utf8"
)

// How a trigger that asks for a resume is written for each shell.
const (
	spelledPlain       = `'{"resume":true}'`   // bash, zsh, PowerShell since 7.3
	spelledPowerShell5 = `'{\"resume\":true}'` // and 7 before 7.3
	spelledCmd         = `"{\"resume\":true}"` // cmd.exe
)

// shells are what is likely to have become of a trigger on its way through a shell, by what arrived.
var shells = []struct {
	arrived *regexp.Regexp
	cause   string
}{
	{regexp.MustCompile(`[“”„«»]|^\{\s*[‘’]`), `it has typographic quotes, as word processors and chats make them; JSON has "`},
	{regexp.MustCompile(`^'`), `its first character is ', which cmd.exe does not take for a quote; write it there as ` + spelledCmd},
	{regexp.MustCompile(`^"`), `it arrived as one JSON text, with quotes around it; write it in cmd.exe as ` + spelledCmd + `, in other shells as ` + spelledPlain},
	{regexp.MustCompile(`^\{\s*'`), `its names stand between ', and JSON has "; write it in cmd.exe as ` + spelledCmd + `, in other shells as ` + spelledPlain},
	{regexp.MustCompile(`^\{\s*\\+"`), `its quotes arrived with a \ before them, which bash and PowerShell 7 leave there; write it for them as ` + spelledPlain},
	{regexp.MustCompile(`^\{\s*""`), `its quotes arrived doubled; write it in PowerShell 5 as ` + spelledPowerShell5 + `, in cmd.exe as ` + spelledCmd},
	{regexp.MustCompile(`^\{\s*[A-Za-z_]`), `its quotes were lost, most likely to the shell; write it in PowerShell 5 as ` + spelledPowerShell5 + `, in cmd.exe as ` + spelledCmd +
		`, in bash and PowerShell 7 as ` + spelledPlain},
}

// fromShell says what a shell has most likely made of a trigger that is no JSON object, as err says; "" if nothing
// points to that.
func fromShell(payload []byte, err error) string {
	var syntax *json.SyntaxError
	var other *json.UnmarshalTypeError
	if !errors.As(err, &syntax) && !errors.As(err, &other) {
		return ""
	}
	payload = bytes.TrimSpace(payload)
	for _, s := range shells {
		if s.arrived.Match(payload) {
			return "; " + s.cause
		}
	}
	return ""
}

// asText is a trigger's payload without the byte order mark that PowerShell may put before it.
func asText(payload []byte) ([]byte, error) {
	payload = bytes.TrimPrefix(payload, []byte("\ufeff"))
	switch {
	case bytes.HasPrefix(payload, []byte{0xff, 0xfe}), bytes.HasPrefix(payload, []byte{0xfe, 0xff}), bytes.IndexByte(payload, 0) >= 0:
		return nil, errors.New("it is UTF-16, and messages are UTF-8; in PowerShell say $OutputEncoding = [Text.UTF8Encoding]::new() before it is piped")
	case !utf8.Valid(payload):
		return nil, errors.New("it is not UTF-8; in cmd.exe say chcp 65001 first, in PowerShell $OutputEncoding = [Text.UTF8Encoding]::new()")
	}
	return payload, nil
}

package notify

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/url"
	"path/filepath"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"fanmill/pipeline"
)

//go:embed email.html
var emailHTML string

var emailTemplate = template.Must(template.New("email").Parse(emailHTML))

// mail makes the whole mail. A second attempt makes the same one: its Message-ID is the notice's.
func (o *emailOptions) mail(n *pipeline.Notice, files []attachment, notes []string) (*gomail.Msg, error) {
	m := newMessage(n)
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(o.from)
	msg.ToMailAddress(o.to...)
	if len(o.cc) > 0 {
		msg.CcMailAddress(o.cc...)
	}
	if len(o.bcc) > 0 { // in the envelope alone
		msg.BccMailAddress(o.bcc...)
	}
	_, domain, _ := strings.Cut(o.from.Address, "@")
	msg.SetMessageIDWithValue(n.ID + "@" + domain)
	msg.SetDateWithValue(n.At)
	msg.SetGenHeaderPreformatted(gomail.HeaderSubject, headerText(m.title, len("Subject: ")))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // nobody is to answer that they are on holiday
	msg.SetGenHeader(gomail.HeaderXMailer, "fanmill")
	text := m.plain()
	for _, note := range notes {
		text += "\n" + oneLine(note, maxText) + "\n"
	}
	msg.SetBodyString(gomail.TypeTextPlain, text)
	var html bytes.Buffer
	if err := emailTemplate.Execute(&html, emailView(m, notes)); err != nil {
		return nil, err
	}
	msg.AddAlternativeString(gomail.TypeTextHTML, html.String())
	for _, f := range files {
		msg.AttachReadSeeker(asciiName(f.name), bytes.NewReader(f.data), gomail.WithFileContentType(gomail.ContentType(contentType(f.name))), func(file *gomail.File) {
			file.Header.Set("Content-Disposition", "attachment;\r\n "+fileName(f.name))
		})
	}
	return msg, nil
}

type emailFact struct{ Name, Text string }

type emailData struct {
	Title, More, Footer    string
	Bad                    bool
	Facts, Missing, Places []emailFact
	Changes                []emailFact
	MoreChanges            string
	Notes                  []string
}

func emailView(m *message, notes []string) emailData {
	view := func(facts []fact) (out []emailFact) {
		for _, f := range facts {
			out = append(out, emailFact{f.name, f.text})
		}
		return out
	}
	return emailData{Title: m.title, More: moreText("", m.more), Footer: m.footer, Bad: m.bad, Facts: view(m.facts), Missing: view(m.missing), Places: view(m.places), Notes: notes,
		Changes: view(m.changes), MoreChanges: moreText("", m.moreChanges)}
}

// headerWord is the longest encoded word that a header may have, and the longest line with it [RFC 2047] 2.
const headerWord = 75

// headerText is a text as the value of a header whose first line has so many characters before it. What is not ASCII
// becomes encoded words, each whole characters, with the spaces inside of them.
func headerText(text string, before int) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r > '~' || r < ' ' }) && !strings.Contains(text, "=?") {
		return foldWords(text, before)
	}
	const begin, end = "=?utf-8?b?", "?="
	most := (headerWord - len(begin) - len(end)) / 4 * 3 // bytes of a word
	room := (headerWord + 1 - before - len(begin) - len(end)) / 4 * 3
	var words []string
	for text != "" {
		n := 0
		for n < len(text) {
			_, width := utf8.DecodeRuneInString(text[n:])
			if n+width > room {
				break
			}
			n += width
		}
		words = append(words, begin+base64.StdEncoding.EncodeToString([]byte(text[:n]))+end)
		text, room = text[n:], most
	}
	return strings.Join(words, "\r\n ")
}

// foldWords folds a header of ASCII between its words, so that lines have 76 characters where they can.
func foldWords(text string, before int) string {
	var b strings.Builder
	column := before
	for i, word := range strings.Split(text, " ") {
		if i > 0 {
			if column+1+len(word) > headerWord+1 {
				b.WriteString("\r\n")
				column = 0
			}
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// fileName is the parameter filename of an attachment: a name in ASCII for old readers, and the whole one in parts [RFC
// 2231] 3, 4.
func fileName(name string) string {
	ascii := asciiName(name)
	params := []string{`filename="` + ascii + `"`}
	if ascii == name {
		return params[0]
	}
	const most = 54 // of a part, so that its line stays below 76
	rest := "UTF-8''" + strings.ReplaceAll(url.PathEscape(name), "'", "%27")
	rest = strings.NewReplacer("(", "%28", ")", "%29", "*", "%2A", "@", "%40", ":", "%3A", "=", "%3D", "&", "%26", "$", "%24", "+", "%2B", ",", "%2C", ";", "%3B").Replace(rest)
	for part := 0; rest != ""; part++ {
		n := min(most, len(rest))
		for back := 1; back <= 2 && n < len(rest); back++ { // not within %2F
			if rest[n-back] == '%' {
				n -= back
				break
			}
		}
		params = append(params, fmt.Sprintf("filename*%d*=%s", part, rest[:n]))
		rest = rest[n:]
	}
	return strings.Join(params, ";\r\n ")
}

// asciiName is a file name with _ for what is not ASCII, or has a meaning in a header, and the ending as it is.
func asciiName(name string) string {
	ext := filepath.Ext(name)
	stem := strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r > '~', strings.ContainsRune(`"\/:*?<>|;%`, r):
			return '_'
		}
		return r
	}, strings.TrimSuffix(name, ext))
	if strings.Trim(stem, "_ .") == "" {
		stem = "report"
	}
	if runes := []rune(stem); len(runes) > 60 {
		stem = string(runes[:60])
	}
	if strings.ContainsFunc(ext, func(r rune) bool { return r > '~' || r < '!' || r == '"' }) {
		ext = ""
	}
	return stem + ext
}

// contentTypes are those of the files that fanmill writes: what a system says of endings differs.
var contentTypes = map[string]string{".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".csv": "text/csv", ".jsonl": "application/jsonl",
	".gz": "application/gzip", ".zst": "application/zstd", ".parquet": "application/vnd.apache.parquet"}

func contentType(name string) string {
	if t := contentTypes[strings.ToLower(filepath.Ext(name))]; t != "" {
		return t
	}
	return "application/octet-stream"
}

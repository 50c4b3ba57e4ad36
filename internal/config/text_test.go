package config_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"fanmill/internal/config"
)

// utf16Text is a text as PowerShell 5 writes it, or in the other byte order.
func utf16Text(text string, order binary.AppendByteOrder) string {
	out := order.AppendUint16(nil, 0xfeff)
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

// savings are the ways in which editors and shells save one text.
var savings = map[string]func(string) string{
	"UTF-8":                        func(s string) string { return s },
	"UTF-8 with a byte order mark": func(s string) string { return "\ufeff" + s },
	"UTF-16":                       func(s string) string { return utf16Text(s, binary.LittleEndian) },
	"UTF-16, the other order":      func(s string) string { return utf16Text(s, binary.BigEndian) },
	"lines of Windows":             func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
	"UTF-16, lines of Windows":     func(s string) string { return utf16Text(strings.ReplaceAll(s, "\n", "\r\n"), binary.LittleEndian) },
	"lines of an old Mac":          func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
	"no end of the last line":      func(s string) string { return strings.TrimSuffix(s, "\n") },
	"empty lines first":            func(s string) string { return "\n\n" + s },
}

// However the small files of a job were saved, what is read is the same.
func TestSmallFilesHoweverSaved(t *testing.T) {
	const dotEnv = "# Zweigstelle Süd 😀\nexport USER_1=müller\nPW = 'p\"$x #1'\nQUOTED=\"a b\"\nPLAIN=x=y # note\n"
	const list = "id;name;server\nconn_1;Zürich;10.0.0.1\n\nconn_2;\"Gen;ève\";10.0.0.2\n"
	const job = "query: select 1 as id\nconnections:\n  file: b.csv\n  driver: postgres\n  user: ${USER_1}\n  password: ${file:pw}\ndestinations: [{type: csv, filePath: Umsätze.csv}]\n"
	const inJSON = "{\"query\": \"select 1 as id\",\n \"connections\": {\"file\": \"b.csv\", \"driver\": \"postgres\", \"user\": \"${USER_1}\", \"password\": \"${file:pw}\"},\n \"destinations\": [{\"type\": \"csv\", \"filePath\": \"Umsätze.csv\"}]}\n"
	for name, saved := range savings {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write(t, ".env", saved(dotEnv))
			write(t, "b.csv", saved(list))
			if secret := "päss\n"; name == "empty lines first" {
				write(t, "pw", secret) // they are part of a secret
			} else {
				write(t, "pw", saved(secret))
			}
			vars, err := config.DotEnv("j.yaml")
			if want := map[string]string{"USER_1": "müller", "PW": `p"$x #1`, "QUOTED": "a b", "PLAIN": "x=y"}; err != nil || !maps.Equal(vars, want) {
				t.Errorf(".env: %q, %v; want %q", vars, err, want)
			}
			for file, text := range map[string]string{"j.yaml": job, "j.json": inJSON} {
				write(t, file, saved(text))
				f, err := config.Load(file, options(nil))
				if err != nil {
					t.Fatal(err)
				}
				if len(f.Job.Connections) != 2 || f.Job.Connections[0].Name != "Zürich" || f.Job.Connections[1].Name != "Gen;ève" || f.Job.Destinations[0].FilePath != "Umsätze.csv" {
					t.Errorf("%s: %+v", file, f.Job)
				}
				if read, err := config.ReadText(file); err != nil || string(read) == "" || strings.ContainsAny(string(read), "\x00\ufeff") {
					t.Errorf("%s: read as %q, %v", file, read, err)
				}
				if dsn, err := f.Expand(f.Job.Connections[0].DSN); dsn != "postgres://m%C3%BCller:p%C3%A4ss@10.0.0.1" || err != nil {
					t.Errorf("%s: the address is %q, %v", file, dsn, err)
				}
			}
		})
	}
}

// A file that cannot be read without guessing is named, with its line and the cause; of a secret nothing is shown.
func TestSmallFilesThatAreNoText(t *testing.T) {
	noMark := strings.TrimPrefix(utf16Text("A=secret\nB=2\n", binary.LittleEndian), "\xff\xfe")
	for _, c := range []struct{ text, want string }{
		{"A=1\nPW=s\xfccret\n", ".env: line 2: this is not UTF-8; save it with the encoding UTF-8"},
		{noMark, ".env: line 1: there is a NUL byte: this is no text, or UTF-16 without a byte order mark; save it with the encoding UTF-8"},
		{"A=1\n" + noMark, ".env: line 2: there is a NUL byte: this is no text, or a line of UTF-16 was appended, as PowerShell's >> does; save it with the encoding UTF-8"},
		{"\xff\xfe\x00\x00A\x00\x00\x00", ".env: line 1: the file is UTF-32; save it with the encoding UTF-8"},
		{"\xff\xfeA\x00\n\x00\x3d\xd8", ".env: line 2: the file is UTF-16, and half a character is here; save it with the encoding UTF-8"},
		{"\xff\xfeA\x00\x3d\xd8B\x00", ".env: line 1: the file is UTF-16, and half a character is here; save it with the encoding UTF-8"},
		{"\xfe\xff\x00A\x00", ".env: line 1: the file is UTF-16, and ends in the middle of a character; save it with the encoding UTF-8"},
		{"\xff\xfeA\x00\x00\x00", ".env: line 1: the file is UTF-16, and has a NUL character; save it with the encoding UTF-8"},
		{"A=1\n\ufeffB=secret\n", ".env: line 2: it begins with a byte order mark, which another file has left here; remove it, or write the line anew"},
		{"A=1\n\nsecret word\nB=2\n", ".env: line 3: it is not NAME=value; put values with spaces or # in them between quotes"},
		{"A=1\nsecret", ".env: line 2: it is not NAME=value; put values with spaces or # in them between quotes"},
		{"A='two\nlines'\n$env:B = 'secret'\n", ".env: line 3: it is a command of PowerShell; write NAME=value, without $env:"},
		{"A=1\r\nset B=secret\r\n", ".env: line 2: it is a command of a shell; write NAME=value alone, without set"},
		{"A=1\nsetx B secret\n", ".env: line 2: it is a command of a shell; write NAME=value alone, without setx"},
		{"A=1\nB='it''s secret'\n", ".env: line 2: the quote that begins the value has no end, or something follows it; put the value between quotes that are not in it"},
		{"A=1\nB=\"secret\nC=2\n", ".env: line 2: the quote that begins the value has no end, or something follows it; put the value between quotes that are not in it"},
		{"A=1\nMY-PW=secret\n", ".env: line 2: the name has other signs than letters, digits and _; write NAME=value, and values with spaces or # in them between quotes"},
	} {
		path := filepath.Join(t.TempDir(), ".env")
		write(t, path, c.text)
		_, err := config.DotEnv(filepath.Join(filepath.Dir(path), "j.json"))
		if got := fmt.Sprint(err); !strings.HasSuffix(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("%q:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pw"), "se\xfccret\n")
	if _, err := config.Expand("${file:pw}", nil, dir); fmt.Sprint(err) != "${file:pw}: cannot be read: line 1: this is not UTF-8; save it with the encoding UTF-8; put the value there, alone in the file, or correct the path" {
		t.Errorf("a secret: %v", err)
	}
}

// What is between the cells of an inventory is what its header has, or its first line says, as spreadsheets write it
// in any country.
func TestInventorySeparators(t *testing.T) {
	for text, want := range map[string]string{
		"sep=;\nid;server\na;h,1\n":                                     "a postgres://h,1",
		"\ufeffSEP=;\r\nid;server\r\na;h\r\n":                           "a postgres://h",
		"\"sep=;\"\nid;server\na;h\n":                                   "a postgres://h",
		"sep=;;;\nid;server;\na;h;\n":                                   "a postgres://h",
		"sep=|\nid|server\na|h\n":                                       "a postgres://h",
		"sep=\t\nid\tserver\na\th\n":                                    "a postgres://h",
		"sep=,\nid,server\na,h\n":                                       "a postgres://h",
		"\n\nsep=;\n\nid;server\na;h\n":                                 "a postgres://h",
		"\r\n;;\r\n\" \";;\r\nid;server\r\na;h\r\n;\r\n":                "a postgres://h",
		"\n \n\t\nid\tserver\na\th\n":                                   "a postgres://h",
		"id;\"server,\nname\";server\na;x;h\n":                          "a postgres://h",
		"\"id,;;;\";server;id\nx;h;a\n":                                 "a postgres://h",
		utf16Text("sep=;\r\nid;server\r\na;h\r\n", binary.LittleEndian): "a postgres://h",
		"sep=;\nid;server\na;h;x\n":                                     "b.csv:3:1: has 3 cells, the header has 2",
		"\n\nid;server\na;h\n\"b;h\n":                                   "b.csv:5:",
		"sep=;\n":                                                       "b.csv:1:1: is empty",
		"sep=;\nid;server\nZ\xfcrich;h\n":                               "b.csv:3:2: this is not UTF-8, but perhaps Windows-1252, where the byte 0xFC is ü",
		"sep=;\nid;server\na;h\x00\n":                                   "b.csv:3:4: there is a NUL byte",
		"id;server\na;10 \x80\n":                                        "where the byte 0x80 is €",
	} {
		t.Chdir(t.TempDir())
		write(t, "b.csv", text)
		write(t, "j.yaml", "query: q\ndestinations: [{type: csv, filePath: a.csv}]\nconnections: {file: b.csv, driver: postgres, dsn: \"postgres://{server}\"}\n")
		got := ""
		if f, err := config.Load("j.yaml", options(nil)); err != nil {
			got = err.Error()
		} else {
			for _, c := range f.Job.Connections {
				got += c.ID + " " + c.DSN
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

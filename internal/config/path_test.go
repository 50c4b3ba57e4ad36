package config_test

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"fanmill/internal/config"
	_ "fanmill/internal/sameseed"
)

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func rangeOf(low, high rune) *unicode.RangeTable {
	return &unicode.RangeTable{R16: []unicode.Range16{{Lo: uint16(low), Hi: uint16(high), Stride: 1}}}
}

func TestResolve(t *testing.T) {
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	date := time.Date(2024, 3, 31, 20, 0, 0, 0, time.UTC).In(kolkata)
	cases := []struct{ in, job, out, err string }{
		{in: "D:/Reports/{jobName}.xlsx", out: "D:/Reports/GST_ Sale_Data_.xlsx"},
		{in: `D:\Reports\{jobId}\{runId}.xlsx`, out: "D:/Reports/job_1/r-7.xlsx"},
		{in: "out/{date}.csv", out: "out/2024-04-01.csv"},
		{in: "out/{{x}}.csv", out: "out/{x}.csv"},
		{in: "{jobName}.xlsx", job: "con", out: "con_.xlsx"},
		{in: "{jobName}/a.xlsx", job: "Sales Inc. ", out: "Sales Inc/a.xlsx"},
		{in: "{jobName}/a.xlsx", job: "..", out: "_/a.xlsx"},
		{in: "C{jobName}.csv", job: "OM1", out: "COM1_.csv"},
		{in: "{jobName}.csv", job: "बिक्री ரசீது 🙂", out: "बिक्री ரசீது 🙂.csv"},
		{in: "{jobName}.csv", job: "a\x00\xffb", out: "a__b.csv"},
		{in: "{Date}.csv", err: "{Date} is not a token fanmill knows; did you mean {date}?"},
		{in: "{connection}-{qurey}.csv", err: "{connection} stands for nothing here\n{qurey} is not a token fanmill knows; did you mean {query}?"},
		{in: "{weather}.csv", err: "{weather} is not a token fanmill knows; it knows {jobName}, {jobId}, {runId}, {date}, {connection}, {query}"},
		{in: "a}.csv", err: "the path has a single }; write }} for the character itself"},
		{in: "{a.csv", err: "the path has a single {; write {{ for the character itself"},
	}
	for _, c := range cases {
		got, err := config.Resolve(c.in, "job_1", cmp.Or(c.job, "GST: Sale/Data?"), "r-7", date)
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err || got != c.out {
			t.Errorf("%s: got %q, %v; want %q, %q", c.in, got, err, c.out, c.err)
		}
	}
}

// Whatever a job is called, its file stays in its folder under a name that Windows accepts too.
func TestTokenValuesAreSafeFileNames(t *testing.T) {
	device := regexp.MustCompile(`(?i)^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.StringMatching(`(?i)(con|nul|aux|com1|lpt9|\.\.|/|\\)[. ]*(x\.y)?`)).Draw(t, "name")
		pattern := rapid.SampledFrom([]string{"out/{jobName}", "out/{jobName}.csv", "out/{jobName} {jobName}", "out/CO{jobName}"}).Draw(t, "pattern")
		got, err := config.Resolve(pattern, "j", name, "r", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		file, ok := strings.CutPrefix(got, "out/")
		if !ok || file == "" || strings.ContainsAny(file, `<>:"/\|?*`) || strings.IndexFunc(file, func(r rune) bool { return r < ' ' }) >= 0 ||
			strings.HasSuffix(file, ".") || strings.HasSuffix(file, " ") || device.MatchString(file) {
			t.Fatalf("%q became %q", name, got)
		}
	})
}

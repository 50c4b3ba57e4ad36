package parquet_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/sinks/parquet"
)

func TestPartition(t *testing.T) {
	for value, want := range map[string]string{
		"Branch_001": "Branch_001", "007": "007", "दिल्ली": "दिल्ली", "a b": "a b", "a.b_c": "a.b_c",
		"a/b\\c:d": "a%2Fb%5Cc%3Ad", "e=f%g\"h*i?": "e%3Df%25g%22h%2Ai%3F", "<j>|": "%3Cj%3E%7C", "[a]{b}^#'": "%5Ba%5D%7Bb%7D%5E%23%27",
		" x ": "%20x%20", ".x.": "%2Ex%2E", "_x_": "%5Fx_", "..": "%2E%2E", " ": "%20", "\x00\n\x7f": "%00%0A%7F", "a\xffb": "a%FFb",
		"con": "%63on", "NUL.txt": "%4EUL.txt", "COM1": "%43OM1", "lpt²": "%6Cpt²", "COM": "COM", "COM10": "COM10", "console": "console",
	} {
		got, err := parquet.Partition("connection", value)
		if err != nil || got != "connection="+want {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"", "__HIVE_DEFAULT_PARTITION__", strings.Repeat("x", 300)} {
		if got, err := parquet.Partition("connection", value); err == nil {
			t.Errorf("%q is accepted as %q", value, got)
		}
	}
	for _, name := range []string{"", "x", "=x", "x=", "x=%", "x=%2", "x=%2f", "x=%zz"} {
		if _, _, err := parquet.ParsePartition(name); err == nil {
			t.Errorf("%q is read", name)
		}
	}
}

// TestPartitionInverse has any value come back, from a name that is one folder on every system.
func TestPartitionInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := string(rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(t, "value"))
		if rapid.Bool().Draw(t, "text") {
			value = rapid.StringN(1, 40, 100).Draw(t, "text value")
		}
		name, err := parquet.Partition("connection", value)
		if err != nil {
			if strings.Contains(err.Error(), "shorter") {
				return
			}
			t.Fatal(err)
		}
		key, back, err := parquet.ParsePartition(name)
		if err != nil || key != "connection" || back != value {
			t.Fatalf("%q is %q and reads as %q: %v", value, name, back, err)
		}
		if escaped := strings.TrimPrefix(name, "connection="); strings.ContainsAny(escaped, "/\\:=\"*?<>|\x00\n") || strings.HasSuffix(escaped, " ") || strings.HasSuffix(escaped, ".") {
			t.Fatalf("%q", name)
		}
	})
}

package parquet

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// hiveNull is what a partition of NULL is named. [Hive] ConfVars.DEFAULTPARTITIONNAME
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// maxPartition bounds a folder's name in bytes: file systems have 255, and files beside it get longer names.
const maxPartition = 200

// Partition is the name of the folder of a dataset that holds the rows with this value: connection=Branch_001. What has
// a meaning in paths, in patterns or for Hive is written as %XX, so that each value has one name, which works on every
// system; so are a leading "_" or ".", which dataset readers skip, blanks and points at the ends, and the first letter
// of a Windows device.
func Partition(key, value string) (string, error) {
	switch {
	case value == "":
		return "", errors.New("a partition needs a value: readers take an empty one for NULL")
	case strings.EqualFold(value, hiveNull):
		return "", fmt.Errorf("%q cannot be the value of a partition: readers take it for NULL", value)
	}
	b := []byte(key + "=")
	if device(value) {
		b = appendEscaped(b, value[0])
		value = value[1:]
	}
	atStart := len(b) == len(key)+1
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		end := i+size == len(value)
		switch c := value[i]; {
		case size > 1:
			b = append(b, value[i:i+size]...)
		case r == utf8.RuneError, c < ' ', c == 0x7F, strings.IndexByte("\"#%'*/:=?\\{}[]^<>|", c) >= 0,
			c == ' ' && (atStart && i == 0 || end), c == '.' && (atStart && i == 0 || end), c == '_' && atStart && i == 0:
			b = appendEscaped(b, c)
		default:
			b = append(b, c)
		}
		i += size
	}
	if len(b) > maxPartition {
		return "", fmt.Errorf("the partition %s... has %d bytes in its name, more than %d; give the connection a shorter id", b[:40], len(b), maxPartition)
	}
	return string(b), nil
}

// ParsePartition is the inverse of Partition.
func ParsePartition(name string) (key, value string, err error) {
	key, escaped, ok := strings.Cut(name, "=")
	if !ok || key == "" || escaped == "" {
		return "", "", fmt.Errorf("%q is no folder of a partition, such as connection=Branch_001", name)
	}
	var b []byte
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' {
			b = append(b, escaped[i])
			continue
		}
		if i+2 >= len(escaped) {
			return "", "", fmt.Errorf("%q ends within %%XX", name)
		}
		high, low := strings.IndexByte(hexDigits, escaped[i+1]), strings.IndexByte(hexDigits, escaped[i+2])
		if high < 0 || low < 0 {
			return "", "", fmt.Errorf("%q has %q where %%XX is expected", name, escaped[i:i+3])
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	return key, string(b), nil
}

const hexDigits = "0123456789ABCDEF"

func appendEscaped(b []byte, c byte) []byte { return append(b, '%', hexDigits[c>>4], hexDigits[c&15]) }

// device reports whether Windows takes a file of this name, with whatever suffix, for a device.
func device(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, ok := strings.CutPrefix(base, "COM")
	if !ok {
		port, ok = strings.CutPrefix(base, "LPT")
	}
	return ok && (len(port) == 1 && port[0] >= '0' && port[0] <= '9' || port == "¹" || port == "²" || port == "³")
}

package outfile

import "strings"

// Ext is the extension of a path's last part on every system, with that of what is compressed: .csv, .csv.gz.
func Ext(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return ""
	}
	switch strings.ToLower(name[dot:]) {
	case ".gz", ".zst":
		inner := strings.LastIndexByte(name[:dot], '.')
		if inner >= 0 && strings.Trim(name[inner+1:dot], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			dot = inner
		}
	}
	return name[dot:]
}

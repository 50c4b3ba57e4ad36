package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
)

// staticTag changes with any of the embedded files: a browser keeps them until then.
var staticTag = func() string {
	h := sha256.New()
	err := fs.WalkDir(staticFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := staticFiles.ReadFile(path)
		h.Write([]byte(path))
		h.Write(text)
		return err
	})
	if err != nil {
		panic(err)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:8]) + `"`
}()

package sinks

import (
	"encoding/binary"
	"io"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks/sheets"
)

// Recycle gives the memory of a chunk of lines back as Append does, without writing it, and returns its length.
func Recycle(c pipeline.Chunk) (n int) {
	switch chunk := c.(type) {
	case *csvChunk:
		n = len(chunk.data)
		chunk.release()
	case *jsonlChunk:
		n = len(chunk.data)
		chunk.release()
	}
	return n
}

// OfFile is what the sink of one file was made from.
func OfFile(s pipeline.Sink) (*pipeline.Manifest, *pipeline.ManifestDestination) {
	f := s.(*fileSink)
	return f.manifest, f.dest
}

// SummaryOf is what a part would say of its rows if it ended now.
func SummaryOf(p pipeline.Part) pipeline.Summary {
	if one, ok := p.(*splitPart); ok {
		p = one.Part
	}
	part := p.(interface {
		losses() []pipeline.Loss
		notes() []string
	})
	return pipeline.Summary{Losses: part.losses(), Notes: part.notes()}
}

// AppendJSONText is how texts stand in a JSON Lines file.
var AppendJSONText = appendJSONText

// Codecs are the ways of compressing by the ending of their files.
var Codecs = map[string]Codec{".gz": {gzipCodec{}}, ".zst": {zstdCodec{}}}

// GzipSum adds members of one text length each, and returns what a joined member's trailer says.
func GzipSum(members int, crc, text uint32) (crc32, length uint32) {
	var s gzipSum
	for range members {
		s.add(0, crc, text)
	}
	end := appendGzipTrailer(nil, s.crc, int64(s.text))
	end = end[len(end)-8:]
	return binary.LittleEndian.Uint32(end), binary.LittleEndian.Uint32(end[4:])
}

// Codec is a codec for the tests.
type Codec struct{ codec }

// Pack and Join are the codec's.
func (c Codec) Pack(dst, text []byte) []byte { return c.pack(dst, text) }

func (c Codec) Join(w io.Writer, r io.ReaderAt, from, to int64) error { return c.join(w, r, from, to) }

// StateOf is what the sink of one file would have recorded now.
func StateOf(s pipeline.Sink) pipeline.State {
	f := s.(*fileSink)
	state, err := f.state(f.artifact.State())
	if err != nil {
		panic(err)
	}
	return state
}

// SheetsService has the sinks of spreadsheets take Google's service for this, until the test ends. Each has a client of
// its own, as in a process of its own.
func SheetsService(t testing.TB, to sheets.Service) {
	old := connectSheets
	connectSheets = func(c *sheets.Credentials, endpoint string) (*sheets.Client, error) {
		return sheets.NewClient(c, endpoint, to)
	}
	t.Cleanup(func() { connectSheets = old })
}

package deflate_test

import (
	"bytes"
	"compress/flate"
	"hash/crc32"
	"io"
	"testing"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/sinks/deflate"
)

// The checksum is that of the joined text.
func TestCombineCRC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.Byte()).Draw(t, "a")
		b := append(rapid.SliceOf(rapid.Byte()).Draw(t, "b"), make([]byte, rapid.IntRange(0, 100_000).Draw(t, "zeros"))...)
		if got, want := deflate.CombineCRC(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), int64(len(b))), crc32.ChecksumIEEE(append(a, b...)); got != want {
			t.Fatalf("%08x, want %08x", got, want)
		}
	})
}

// Pieces in any order, with the end behind them, are one stream of their texts.
func TestPiecesJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text, stream []byte
		for range rapid.IntRange(0, 5).Draw(t, "pieces") {
			piece := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "piece"), rapid.IntRange(0, 5000).Draw(t, "times"))
			text, stream = append(text, piece...), deflate.Append(stream, piece)
		}
		got, err := io.ReadAll(flate.NewReader(bytes.NewReader(append(stream, deflate.End...))))
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes, want %d: %v", len(got), len(text), err)
		}
	})
}

package sinks

import "fanmill/pipeline"

// Recycle gives a CSV chunk's memory back as Append does, without writing it, and returns its length.
func Recycle(p pipeline.Part, c pipeline.Chunk) int {
	chunk := c.(*csvChunk)
	chunk.encoder.buf = chunk.lines[:0]
	p.(*csvPart).sink.encoders.Put(chunk.encoder)
	return len(chunk.lines)
}

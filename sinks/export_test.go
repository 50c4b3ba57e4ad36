package sinks

import "fanmill/pipeline"

// Recycle gives a CSV chunk's memory back as Append does, without writing it, and returns its length.
func Recycle(c pipeline.Chunk) int {
	chunk := c.(*csvChunk)
	n := len(chunk.lines)
	chunk.release()
	return n
}

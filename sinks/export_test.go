package sinks

import "fanmill/pipeline"

// Recycle gives the memory of a chunk of lines back as Append does, without writing it, and returns its length.
func Recycle(c pipeline.Chunk) (n int) {
	switch chunk := c.(type) {
	case *csvChunk:
		n = len(chunk.lines)
		chunk.release()
	case *jsonlChunk:
		n = len(chunk.lines)
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

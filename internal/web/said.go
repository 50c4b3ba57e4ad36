package web

import "sync"

// said keeps what was said of a change until the page that follows it shows it, once.
type said struct {
	mu    sync.Mutex
	texts map[string]string
	order []string
}

// keptSaid bounds what nobody has read.
const keptSaid = 200

// keep keeps a text, and returns what it can be had for.
func (s *said) keep(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	key := random()
	s.texts[key] = text
	s.order = append(s.order, key)
	if len(s.order) > keptSaid {
		delete(s.texts, s.order[0])
		s.order = s.order[1:]
	}
	return key
}

func (s *said) take(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.texts[key]
	delete(s.texts, key)
	return text
}

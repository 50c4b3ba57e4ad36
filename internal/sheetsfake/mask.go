package sheetsfake

import "strings"

// mask is a field mask as a tree: title,gridProperties(rowCount,columnCount) or gridProperties.rowCount. An empty tree
// is all below it.
type mask map[string]mask

// parseMask reads a field mask. ok is false if it is not one.
func parseMask(s string) (mask, bool) {
	m, rest, ok := parseFields(s)
	return m, ok && rest == "" && len(m) > 0
}

func parseFields(s string) (mask, string, bool) {
	m := mask{}
	for {
		end := strings.IndexAny(s, ",()")
		path := s
		if end >= 0 {
			path = s[:end]
		}
		if path == "" {
			return nil, "", false
		}
		at := m
		for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '/' }) {
			if at[name] == nil {
				at[name] = mask{}
			}
			at = at[name]
		}
		s = s[len(path):]
		if strings.HasPrefix(s, "(") {
			inner, rest, ok := parseFields(s[1:])
			if !ok || !strings.HasPrefix(rest, ")") {
				return nil, "", false
			}
			for k, v := range inner {
				at[k] = v
			}
			s = rest[1:]
		}
		if !strings.HasPrefix(s, ",") {
			return m, s, true
		}
		s = s[1:]
	}
}

// has reports whether a path such as gridProperties.rowCount is in the mask.
func (m mask) has(path string) bool {
	for _, name := range strings.Split(path, ".") {
		if m["*"] != nil || len(m) == 0 {
			return true
		}
		next, ok := m[name]
		if !ok {
			return false
		}
		m = next
	}
	return true
}

// unknown is the first name that is none of these; "" if there is none.
func (m mask) unknown(names ...string) string {
	for k := range m {
		found := k == "*"
		for _, n := range names {
			found = found || n == k
		}
		if !found {
			return k
		}
	}
	return ""
}

// apply keeps of a JSON value what is in the mask.
func (m mask) apply(v any) any {
	if len(m) == 0 || m["*"] != nil {
		return v
	}
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = m.apply(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, sub := range m {
			if field, ok := v[k]; ok {
				out[k] = sub.apply(field)
			}
		}
		return out
	}
	return v
}

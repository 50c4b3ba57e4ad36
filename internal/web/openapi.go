package web

import (
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// describe serves the OpenAPI document of the HTTP API.
func (s *Server) describe(w http.ResponseWriter, r *http.Request) {
	version := "0"
	if b := s.backend.Load(); b != nil {
		version = (*b).About().Version
	}
	answer(w, http.StatusOK, s.openAPI(version, root(r)+"api/v1"))
}

type object = map[string]any

// openAPI is the document [OpenAPI 3.1], made from the endpoints and the Go types of what they take and answer.
func (s *Server) openAPI(version, url string) object {
	d := &describer{schemas: object{}}
	paths := object{}
	for _, e := range s.endpoints() {
		var parameters []object
		for _, name := range inPath.FindAllStringSubmatch(e.path, -1) {
			parameters = append(parameters, object{"name": name[1], "in": "path", "required": true, "schema": object{"type": "string"}})
		}
		for _, p := range e.query {
			parameters = append(parameters, object{"name": p.name, "in": "query", "description": p.about, "schema": object{"type": "string"}})
		}
		media, schema := e.media, object{}
		if e.result != nil {
			media, schema = "application/json", d.of(reflect.TypeOf(e.result))
		}
		op := object{"summary": e.summary, "operationId": operation(e.method, e.path), "responses": object{
			"200":     object{"description": "done", "content": object{media: object{"schema": schema}}},
			"default": object{"description": "why not, in words for people", "content": object{"application/json": object{"schema": d.of(reflect.TypeOf(problem{}))}}},
		}}
		if parameters != nil {
			op["parameters"] = parameters
		}
		if e.body != nil {
			op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": d.of(reflect.TypeOf(e.body))}}}
		}
		at, ok := paths[e.path].(object)
		if !ok {
			at = object{}
			paths[e.path] = at
		}
		at[strings.ToLower(e.method)] = op
	}
	return object{"openapi": "3.1.0", "info": object{"title": "fanmill", "version": version,
		"description": "Ids in addresses are spelled as in NATS subjects: bytes outside [A-Za-z0-9_-] as =XX. Fields that end in Ms are milliseconds, those that end in Bytes or bytes are bytes."},
		"servers": []object{{"url": url}}, "paths": paths, "security": []object{{"token": []string{}}},
		"components": object{"schemas": d.schemas, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}}}
}

// problem is the answer of what did not succeed.
type problem struct {
	Error  string `json:"error"`
	Status int    `json:"status"`
}

// operation names an operation: getRunsRunLog.
func operation(method, path string) string {
	name := strings.ToLower(method)
	for word := range strings.FieldsFuncSeq(path, func(r rune) bool { return strings.ContainsRune("/{}", r) }) {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

// describer makes schemas of Go types, each structure once.
type describer struct{ schemas object }

func (d *describer) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return d.of(t.Elem())
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": d.of(t.Elem())}
	case t.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": d.of(t.Elem())}
	case t.Kind() == reflect.String:
		return object{"type": "string"}
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return object{"type": "integer", "format": "int" + strconv.Itoa(t.Bits())}
	case t.Kind() == reflect.Struct:
		name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
		if _, ok := d.schemas[name]; !ok {
			d.schemas[name] = nil // it may hold itself
			properties, required := object{}, []string{}
			d.fields(t, properties, &required)
			d.schemas[name] = object{"type": "object", "properties": properties, "required": required}
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{} // anything
}

// fields adds what JSON has of a structure, that of embedded ones among it.
func (d *describer) fields(t reflect.Type, properties object, required *[]string) {
	for f := range t.Fields() {
		if f.Anonymous {
			d.fields(f.Type, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		properties[name] = d.of(f.Type)
		if options == "" {
			*required = append(*required, name)
		}
	}
}

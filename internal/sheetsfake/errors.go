package sheetsfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// apiError is an error as Google's APIs answer it.
type apiError struct {
	code int
	body any
}

func (e *apiError) Error() string { return fmt.Sprint(e.body) }

var statuses = map[int]string{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}

// newError makes an error with the old form's errors[].reason and the new form's details.
func newError(code int, reason, message string) *apiError {
	return &apiError{code, map[string]any{"error": map[string]any{
		"code": code, "message": message, "status": statuses[code],
		"errors":  []any{map[string]any{"message": message, "domain": "global", "reason": reason}},
		"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}},
	}}}
}

// invalid is 400 for subrequest i of this kind.
func invalid(i int, kind, format string, args ...any) *apiError {
	return newError(http.StatusBadRequest, "badRequest", fmt.Sprintf("Invalid requests[%d].%s: %s", i, kind, fmt.Sprintf(format, args...)))
}

func oauthError(code, description string) *apiError {
	return &apiError{http.StatusBadRequest, map[string]string{"error": code, "error_description": description}}
}

func writeError(w http.ResponseWriter, e *apiError) { writeJSON(w, e.code, e.body) }

func writeJSON(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // what is answered is made here
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_, _ = w.Write(data)
}

func readAll(r *http.Request) ([]byte, error) { return io.ReadAll(io.LimitReader(r.Body, 64<<20)) }

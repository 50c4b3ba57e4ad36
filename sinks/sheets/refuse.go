package sheets

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"google.golang.org/api/googleapi"
)

// refused judges a batch that Google refused with 400. It may have met another claim's commit, a tab that a user has
// removed, or a title that was taken meanwhile: what the document holds is read, and the batch made anew. What is
// refused again is looked for: the connection, and then its row.
func (s *sender) refused(ctx context.Context, b *batch, err error) error {
	if lerr := s.load(ctx); lerr != nil {
		return lerr
	}
	whose := nobody
	if i := refusedRequest(err); i >= 0 && i < len(b.whose) {
		whose = b.whose[i]
	}
	if _, settled := s.state.settled[whose]; settled {
		return nil
	}
	const most = 3
	s.strikes[whose]++
	var g *googleapi.Error
	errors.As(err, &g)
	switch {
	case whose == nobody && s.strikes[nobody] > most:
		return s.classify("write", err)
	case whose == nobody:
		return nil
	case strings.Contains(g.Message, "protected"):
		s.result.Held[whose] = "its tab is protected: remove the protection in Google Sheets, or allow " + s.client.Email + " to edit it"
		return nil
	case s.strikes[whose] < 2:
		return nil
	}
	return s.narrow(b, whose, g)
}

// narrow halves the rows that a refused connection has in a batch, down to one.
func (s *sender) narrow(b *batch, whose int, g *googleapi.Error) error {
	const most = 64 // batches that are spent on one connection
	n := s.rows[whose]
	switch {
	case n == 1, s.strikes[whose] > most:
		where := ""
		for key := range b.stages {
			if key.connection == whose {
				where = " in row " + strconv.FormatInt(b.stages[key], 10)
			}
		}
		s.result.Rejected[whose] = "Google refuses it" + where + ": " + message(g)
	case n == 0:
		s.rows[whose] = 1024
	default:
		s.rows[whose] = max(1, n/4)
	}
	return nil
}

// refusedRequest is the subrequest that an error is about; -1 if it does not say: "Invalid requests[3].updateCells:
// ...".
func refusedRequest(err error) int {
	var g *googleapi.Error
	if !errors.As(err, &g) {
		return -1
	}
	_, after, ok := strings.Cut(g.Message, "requests[")
	number, _, ok2 := strings.Cut(after, "]")
	i, err := strconv.Atoi(number)
	if !ok || !ok2 || err != nil {
		return -1
	}
	return i
}

package stages

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"fanmill/pipeline"
)

// An error without its secrets is still what it was: worth another try or not, cancelled or not. A short secret is not told by the holes
// that it leaves in other words.
func TestRedactedErrorsKeepTheirKind(t *testing.T) {
	for _, c := range []struct {
		err    error
		secret string
		text   string
	}{
		{pipeline.Permanent(errors.New("it returns more than one result")), "more than", "it returns **** one result"},
		{pipeline.Transient(errors.New("open tcp: p:1433, p")), "p", "open tcp: ****:1433, ****"},
		{fmt.Errorf("connect: %w", context.Canceled), "context", "connect: **** canceled"},
		{errors.New("aa a aaa aaaa aa-aa"), "aa", "**** a aaa aaaa ****-****"},
		{errors.New("nothing of it"), "s3cr3t", "nothing of it"},
	} {
		err := redacted(c.err, []string{"", c.secret})
		if err.Error() != c.text {
			t.Errorf("%q without %q is %q", c.err, c.secret, err)
		}
		for _, kind := range []error{pipeline.ErrPermanent, pipeline.ErrTransient, context.Canceled} {
			if errors.Is(err, kind) != errors.Is(c.err, kind) {
				t.Errorf("%q is no longer %v", err, kind)
			}
		}
		if errors.Unwrap(err) != nil && err != c.err {
			t.Errorf("%q gives its secret to whoever asks", err)
		}
	}
}

package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kinds of errors. A plugin wraps its error in one of them, once; the loops decide by errors.Is and nothing else.
var (
	// ErrTransient marks what may succeed if tried again: a dropped connection, a full disk, a deadlock victim.
	ErrTransient = errors.New("transient")
	// ErrPermanent marks what will fail again: a wrong password, a missing table, a row no message can hold.
	ErrPermanent = errors.New("permanent")
	// ErrOnceMore marks a transient error that will most likely stay: a server's limit for a query's time, a file of
	// another user. A second try that ends like it is the last.
	ErrOnceMore = fmt.Errorf("worth one more try: %w", ErrTransient)
	// ErrLogin marks a database that lets this process not in, by its password or its address. It is an ErrPermanent, too;
	// another process may have another password, or another address.
	ErrLogin = fmt.Errorf("the login is refused: %w", ErrPermanent)
	// ErrConflict is a compare-and-set that found another revision.
	ErrConflict = errors.New("revision conflict")
	// ErrFenced ends an owner whose claim was taken over: nothing it does afterwards may count.
	ErrFenced = errors.New("another process has taken over")
	// ErrOvertaken is a frame of an attempt that was fenced: another one has its connection.
	ErrOvertaken = errors.New("another attempt has its connection")
	// ErrHeld is a record whose owner is alive.
	ErrHeld = errors.New("held by another process")
	// ErrLost is an artifact whose committed bytes no longer exist: it must be delivered anew.
	ErrLost = errors.New("committed bytes are lost")
	// ErrElsewhere is a destination whose bytes are at a place that this process does not have. Nothing of it was claimed.
	ErrElsewhere = errors.New("its files are elsewhere")
	// ErrNoKey is a key that does not exist.
	ErrNoKey = errors.New("no such key")
	// ErrNoLog is a row log that does not exist.
	ErrNoLog = errors.New("no such row log")
	// ErrForeign is a record that another program wrote over, damaged or deleted. It is an ErrConflict, too.
	ErrForeign = errors.New("another program has changed a record")
	// ErrStore is a store that is not the one that this process opened: it was emptied, or another one answers in its
	// place.
	ErrStore = errors.New("the store is not the one that this process began with")
	// ErrMustRun is a query whose columns its database tells only once it runs.
	ErrMustRun = errors.New("it tells its columns only once it runs")
	// ErrNoAnswer is a request that nobody answered.
	ErrNoAnswer = errors.New("no answer")
	// ErrSecret is a value that looks like a secret, where values are stored and shown.
	ErrSecret = errors.New("no secret is stored")
	// ErrGap is a row log that no longer has, or never had, what a reader must read next.
	ErrGap = errors.New("row log has a gap")
)

type kindError struct {
	kind error
	err  error
}

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.err, e.kind} }

// Transient marks err as worth another try; nil stays nil.
func Transient(err error) error { return mark(ErrTransient, err) }

// OnceMore marks err as worth one more try and no more than that; nil stays nil.
func OnceMore(err error) error { return mark(ErrOnceMore, err) }

// Permanent marks err as final; nil stays nil.
func Permanent(err error) error { return mark(ErrPermanent, err) }

// Login marks err as a login that is refused; nil stays nil.
func Login(err error) error { return mark(ErrLogin, err) }

// mark marks err as of a kind, unless it says whether another try helps; nil stays nil.
func mark(kind, err error) error {
	if err == nil || errors.Is(err, ErrTransient) || errors.Is(err, ErrPermanent) {
		return err
	}
	return &kindError{kind, err}
}

// OfKind is err with its own text, and with another error that errors.Is finds in it.
func OfKind(kind, err error) error { return &kindError{kind, err} }

// HeldError marks err as ErrHeld: who has a trigger looks again, and finds what came of it.
func HeldError(err error) error { return OfKind(ErrHeld, err) }

// IsPermanent reports whether trying again is pointless. An error without a kind is taken as transient: a second try
// costs time, a branch given up by mistake costs a night.
func IsPermanent(err error) bool { return errors.Is(err, ErrPermanent) }

// SecondTries counts tries in a row that ended with ErrOnceMore.
type SecondTries int

// Spent counts one more try that ended with err, and reports whether that was the last one.
func (o *SecondTries) Spent(err error) bool {
	if !errors.Is(err, ErrOnceMore) {
		*o = 0
		return false
	}
	*o++
	return *o > 1
}

// ShortError is err's text, at most MaxErrorBytes long, cut between runes.
func ShortError(err error) string {
	s := strings.ToValidUTF8(err.Error(), "?")
	if len(s) <= MaxErrorBytes {
		return s
	}
	cut := MaxErrorBytes - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// ErrCancelled ends a run that somebody cancelled.
var ErrCancelled = errors.New("cancelled")

// ErrOverlap ends a trigger that finds its job running, where the job's onOverlap says skip.
var ErrOverlap = errors.New("the job is running, and its onOverlap is skip")

// Owing ends a destination for this run: everything that it has is safe, and something of it is not sent. A resume goes
// on with that.
type Owing struct{ Reason string }

func (o *Owing) Error() string { return o.Reason }

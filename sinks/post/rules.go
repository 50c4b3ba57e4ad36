package post

import (
	"fmt"
	"io"

	"fanmill/pipeline"
)

// Rule says what one kind of answer, or of failure to get one, means.
type Rule struct {
	Answer string // a status, a range of them, or what failed
	Yes    bool   // delivered
	Scope  pipeline.Scope
	// Maybe says that the receiver may have acted on the request all the same, or something behind the one that
	// answered.
	Maybe bool
	Text  string // what it means and what to do

	low, high int // statuses
	kind      kind
}

// kind is what kept an attempt from getting an answer.
type kind uint8

const (
	none kind = iota
	damaged
	untrusted    // the receiver's certificate does not hold
	refusedTLS   // the handshake ended without agreement
	notTLS       // the other side speaks no TLS
	unknownHost  // the name has never been found
	lostHost     // the name was found before
	proxyRefused // the proxy's answer is one of the target
	stalled
	ended // the caller's context
	network
)

// rules is the one table of what answers mean; the first row that fits counts. Statuses that say something about each
// request alike (address, credentials, method, headers) are of the target, even where RFC 9110 calls them the client's:
// a letter for each request would be a mass of letters with one cause.
var rules = []Rule{
	{Answer: "207", low: 207, high: 207, Yes: true, Text: "delivered, and named: the receiver reports several outcomes, which nobody looks at"},
	{Answer: "2xx", low: 200, high: 299, Yes: true, Text: "delivered, if the whole body was sent and the answer says what success asks for"},
	{Answer: "302, 303", low: 302, high: 303, Scope: pipeline.OfTarget, Maybe: true, Text: "the address answers with another page, such as a login; check url and credentials"},
	{Answer: "other 3xx", low: 300, high: 399, Scope: pipeline.OfTarget, Text: "the address moved; set url to the new one; a run that is half sent goes on there with --target-moved"},
	{Answer: "400", low: 400, high: 400, Scope: pipeline.OfRequest, Text: "the receiver cannot read this request; compare its answer with format, body and headers"},
	{Answer: "401", low: 401, high: 401, Scope: pipeline.OfTarget, Text: "the receiver does not accept the credentials; renew the token, password or signing secret"},
	{Answer: "402", low: 402, high: 402, Scope: pipeline.OfTarget, Text: "the receiver asks for payment; look at the account there"},
	{Answer: "403", low: 403, high: 403, Scope: pipeline.OfTarget, Text: "the credentials may not do this; have the receiver grant it"},
	{Answer: "404", low: 404, high: 404, Scope: pipeline.OfTarget, Text: "there is nothing at this address; check url"},
	{Answer: "405", low: 405, high: 405, Scope: pipeline.OfTarget, Text: "the address does not take this method; check method and url"},
	{Answer: "406", low: 406, high: 406, Scope: pipeline.OfTarget, Text: "the receiver cannot answer as the header Accept asks; check headers"},
	{Answer: "407", low: 407, high: 407, Scope: pipeline.OfTarget, Text: "the proxy asks for credentials; put them into proxy"},
	{Answer: "408", low: 408, high: 408, Scope: pipeline.OfMoment, Maybe: true, Text: "the receiver waited in vain for the request"},
	{Answer: "409", low: 409, high: 409, Scope: pipeline.OfRequest, Maybe: true, Text: "a conflict; of the moment until its fifth answer with conflict: retry, delivered with conflict: accept"},
	{Answer: "410", low: 410, high: 410, Scope: pipeline.OfTarget, Text: "the address is gone for good; ask the receiver for a new url, or remove the destination"},
	{Answer: "411", low: 411, high: 411, Scope: pipeline.OfTarget, Text: "the receiver misses the body's length, which was sent; look at proxies between here and there"},
	{Answer: "413", low: 413, high: 413, Scope: pipeline.OfRequest, Text: "the body is too large for the receiver; set maxBytesPerRequest or maxRowsPerRequest"},
	{Answer: "414", low: 414, high: 414, Scope: pipeline.OfTarget, Text: "the address is too long for the receiver; check url"},
	{Answer: "415", low: 415, high: 415, Scope: pipeline.OfRequest, Text: "the receiver does not take this kind of body; set gzip: false, or look at format"},
	{Answer: "417", low: 417, high: 417, Scope: pipeline.OfTarget, Text: "the receiver refuses the header Expect; set expect: false, and look at headers"},
	{Answer: "421", low: 421, high: 421, Scope: pipeline.OfMoment, Text: "the request met the wrong server"},
	{Answer: "422", low: 422, high: 422, Scope: pipeline.OfRequest, Text: "the receiver cannot take this content, or has this key with other bytes; compare its answer with the body"},
	{Answer: "425", low: 425, high: 425, Scope: pipeline.OfMoment, Text: "too early"},
	{Answer: "426", low: 426, high: 426, Scope: pipeline.OfTarget, Text: "the receiver asks for another protocol; check url"},
	{Answer: "429", low: 429, high: 429, Scope: pipeline.OfMoment, Text: "too many requests; perSecond and parallel keep below the receiver's limit"},
	{Answer: "431", low: 431, high: 431, Scope: pipeline.OfTarget, Text: "the headers are too large for the receiver; check headers and auth"},
	{Answer: "451", low: 451, high: 451, Scope: pipeline.OfTarget, Text: "the receiver may not serve this address for legal reasons; ask who runs it"},
	{Answer: "other 4xx", low: 400, high: 499, Scope: pipeline.OfRequest, Text: "the receiver refuses this request"},
	{Answer: "501", low: 501, high: 501, Scope: pipeline.OfTarget, Text: "the server does not know this method; check method and url"},
	{Answer: "505", low: 505, high: 505, Scope: pipeline.OfTarget, Text: "the server does not take this version of HTTP; look at proxies between here and there"},
	{Answer: "511", low: 511, high: 511, Scope: pipeline.OfTarget, Text: "the network asks for a login before it lets requests through"},
	{Answer: "other 5xx", low: 500, high: 599, Scope: pipeline.OfMoment, Maybe: true, Text: "the server failed"},
	{Answer: "any other status", low: 0, high: 9999, Scope: pipeline.OfMoment, Maybe: true, Text: "HTTP has no such answer"},

	{Answer: "bytes on disk are not those recorded", kind: damaged, Scope: pipeline.OfRequest, Text: "nothing was accepted; the file was changed or damaged, look at the disk"},
	{Answer: "certificate not trusted", kind: untrusted, Scope: pipeline.OfTarget, Text: "set tls.ca to the authority that signed it, or have the receiver renew its certificate"},
	{Answer: "TLS refused", kind: refusedTLS, Scope: pipeline.OfTarget, Text: "the receiver and fanmill do not agree; check tls.cert, tls.key and tls.minVersion"},
	{Answer: "no TLS", kind: notTLS, Scope: pipeline.OfTarget, Text: "the other side speaks no TLS; check scheme and port of url"},
	{Answer: "host unknown, never reached before", kind: unknownHost, Scope: pipeline.OfTarget, Text: "no such host; check url"},
	{Answer: "host unknown, reached before", kind: lostHost, Scope: pipeline.OfMoment, Text: "the name could be found before; look at DNS"},
	{Answer: "proxy refuses (4xx but 408, 425, 429; 501)", kind: proxyRefused, Scope: pipeline.OfTarget, Text: "check proxy, and whether it lets this host through"},
	{Answer: "no progress, no answer in time", kind: stalled, Scope: pipeline.OfMoment, Maybe: true, Text: "tried again; timeout says how long an answer may take"},
	{Answer: "the caller ended it", kind: ended, Scope: pipeline.OfMoment, Maybe: true, Text: "the request is sent again on resume"},
	{Answer: "any other network error", kind: network, Scope: pipeline.OfMoment, Maybe: true, Text: "the connection failed"},
}

// Rules returns the table, first row that fits first, for documents.
func Rules() []Rule { return append([]Rule(nil), rules...) }

func ruleOf(status int) Rule {
	for _, r := range rules {
		if r.kind == none && status >= r.low && status <= r.high {
			return r
		}
	}
	panic("a status outside of the table")
}

func ruleFor(k kind) Rule {
	for _, r := range rules {
		if r.kind == k {
			return r
		}
	}
	panic("a kind outside of the table")
}

// WriteTable writes the table in Markdown.
func WriteTable(w io.Writer) error {
	if _, err := fmt.Fprint(w, "| answer | means | may have arrived | what it says and what to do |\n|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, r := range rules {
		means, maybe := "error of the "+r.Scope.String(), "no"
		if r.Yes {
			means = "delivered"
		}
		if r.Yes || r.Maybe {
			maybe = "yes"
		}
		if _, err := fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.Answer, means, maybe, r.Text); err != nil {
			return err
		}
	}
	return nil
}

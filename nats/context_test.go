package nats_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/nats"
)

// contexts makes the folder of the nats CLI's contexts.
func contexts(t *testing.T, selected string, files map[string]string) (dir string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	dir = filepath.Join(home, "nats")
	if err := os.MkdirAll(filepath.Join(dir, "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "context", name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if selected != "" {
		if err := os.WriteFile(filepath.Join(dir, "context.txt"), []byte(selected+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func named(context string) nats.Access { return nats.Access{Context: by(context, "--nats-context")} }

// What a context says counts where nothing nearer does. Who connects is said in one place, and a server never gets
// what is meant for another one's user.
func TestWhatCounts(t *testing.T) {
	contexts(t, "prod", map[string]string{
		"prod": `{"description":"d","url":"tls://prod:4222","user":"joe","password":"pw","ca":"ca.pem","tls_first":true,"inbox_prefix":"_I.joe","jetstream_domain":"hub","color_scheme":"c"}`,
		"bare": `{"url":"","token":"","user":"","nsc":"","tls_first":false,"windows_ca_certs_match":null}`,
		"own":  `{"url":"nats://u:p@own:1,nats://own:2"}`,
	})
	url := nats.Access{URL: by("nats://flag:1", "--nats")}
	creds := nats.Access{Creds: by("u.creds", "NATS_CREDS")}
	env := nats.Access{URL: by("nats://env:1", "NATS_URL"), Creds: by("e.creds", "NATS_CREDS"), CA: by("e.pem", "NATS_CA")}
	for name, c := range map[string]struct {
		layers []nats.Access
		want   string
	}{
		"nothing":            {[]nats.Access{{}, {Creds: by("e.creds", "NATS_CREDS")}}, " "},
		"a URL":              {[]nats.Access{url, {}}, "nats://flag:1 | nats --no-context --server nats://flag:1"},
		"over a variable":    {[]nats.Access{url, env}, "nats://flag:1 creds=e.creds ca=e.pem | nats --no-context --server nats://flag:1 --creds e.creds --tlsca e.pem"},
		"a context":          {[]nats.Access{named("prod"), {}}, "tls://prod:4222 user=joe ca=ca.pem | nats --context prod"},
		"over NATS_URL":      {[]nats.Access{named("prod"), {URL: by("nats://env:1", "NATS_URL")}}, "tls://prod:4222 user=joe ca=ca.pem | nats --context prod"},
		"the selected one":   {[]nats.Access{named("selected"), {}}, "tls://prod:4222 user=joe ca=ca.pem | nats --context prod"},
		"with another URL":   {[]nats.Access{{URL: by("tls://b:1", "--nats"), Context: by("prod", "--nats-context")}}, "tls://b:1 user=joe ca=ca.pem | nats --context prod --server tls://b:1"},
		"with another CA":    {[]nats.Access{named("prod"), {CA: by("e.pem", "NATS_CA")}}, "tls://prod:4222 user=joe ca=e.pem | nats --context prod --tlsca e.pem"},
		"with another user":  {[]nats.Access{named("prod"), creds}, "tls://prod:4222 creds=u.creds ca=ca.pem | nats --no-context --server tls://prod:4222 --creds u.creds --tlsca ca.pem --inbox-prefix _I.joe --js-domain hub --tlsfirst"},
		"without a URL":      {[]nats.Access{named("bare"), {}}, "nats://127.0.0.1:4222 | nats --context bare"},
		"a user in its URL":  {[]nats.Access{named("own"), {}}, "nats://u:p@own:1,nats://own:2 | nats --context own"},
		"another for its":    {[]nats.Access{named("own"), creds}, "nats://own:1,nats://own:2 creds=u.creds | nats --no-context --server nats://own:1,nats://own:2 --creds u.creds"},
		"a token for a user": {[]nats.Access{url, {User: by("t0k", "NATS_USER")}}, "nats://flag:1 token=t0k | nats --no-context --server nats://flag:1 (with the token in NATS_TOKEN)"},
		"a password":         {[]nats.Access{{URL: by("nats://j%40e:pw@h:1", "--nats")}}, "nats://j%40e:pw@h:1 | nats --no-context --server nats://h:1 --user j@e (with the password of that user in NATS_PASSWORD)"},
		"a certificate": {[]nats.Access{{URL: by("h:1", "--nats"), Cert: by("c.pem", "--nats-cert"), Key: by("k.pem", "--nats-key")}},
			"h:1 cert=c.pem key=k.pem | nats --no-context --server h:1 --tlscert c.pem --tlskey k.pem"},
		"half of one from each":        {[]nats.Access{{URL: by("h:1", "--nats"), Cert: by("c.pem", "--nats-cert")}, {Key: by("k.pem", "NATS_KEY")}}, "--nats-cert gives a certificate, and its key is missing"},
		"a password of nobody":         {[]nats.Access{url, {Password: by("pw", "NATS_PASSWORD")}}, "NATS_PASSWORD gives a password, and nothing says whose"},
		"two users":                    {[]nats.Access{{URL: by("h:1", "NATS_URL"), Creds: by("c", "NATS_CREDS"), Token: by("t", "NATS_TOKEN")}}, "NATS_TOKEN and NATS_CREDS both say who connects"},
		"two users, one in the URL":    {[]nats.Access{{URL: by("nats://t@h:1", "--nats"), Creds: by("c", "--nats-creds")}}, "--nats-creds and the user in --nats both say"},
		"an unknown one":               {[]nats.Access{named("pord")}, `--nats-context: the nats CLI has no context "pord" in `},
		"an unknown one, others there": {[]nats.Access{named("pord")}, "there are bare, own, prod"},
		"a file that is not there":     {[]nats.Access{named("nowhere/x.json")}, "--nats-context nowhere/x.json: nowhere/x.json: "},
	} {
		a, warnings, err := nats.Merge(c.layers...)
		got := a.Says()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want || len(warnings) > 0 {
			t.Errorf("%s:\n is %s\nwant %s, warnings %q", name, got, c.want, warnings)
		}
	}
}

// A setting of a context that would change where a connection goes, or as whom, is refused by its name; one that
// fanmill has never heard of is warned of. No message has a secret in it.
func TestContextsThatSayOther(t *testing.T) {
	t.Setenv("FANMILL_TEST_SECRET", "s3cret")
	secret := filepath.ToSlash(file(t, "secret", []byte("s3cret\n")))
	files := map[string]string{
		"nsc":    `{"nsc":"nsc://op/acc/joe"}`,
		"prefix": `{"jetstream_api_prefix":"js.other"}`,
		"store":  `{"windows_cert_store":"user"}`,
		"op":     `{"password":"op://vault/s3cret","user":"joe"}`,
		"data":   `{"creds":"data:;base64,s3cret"}`,
		"unset":  `{"token":"env://FANMILL_TEST_UNSET"}`,
		"broken": `{"password":"s3cret" "x"}`,
		"type":   `{"password":5}`,
		"first":  `{"tls_first":"yes"}`,
		"odd":    `{"url":"nats://h:1","token":"t","colour":"blue","shape":""}`,
		"env":    `{"token":"env://FANMILL_TEST_SECRET"}`,
		"file":   `{"user":"joe","password":"file://` + secret + `"}`,
		"home":   `{"creds":"~/u.creds","ca":"$FANMILL_TEST_SECRET/ca.pem","nkey":""}`,
	}
	contexts(t, "", files)
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"nsc": "cannot do what its nsc says: write the credentials to a file", "prefix": "cannot do what its jetstream_api_prefix says",
		"store": "cannot do what its windows_cert_store says", "op": "password: fanmill follows no op:// references", "data": "creds: fanmill follows no data: references",
		"unset": "token: the variable FANMILL_TEST_UNSET is not set", "broken": "is not the JSON of a context", "type": "password is not a text", "first": "tls_first is neither",
		"selected": "no context is selected in", "../x": "--nats-context ../x: ../x: ",
		"odd":  "token=t",
		"env":  "token=s3cret",
		"file": "user=joe",
		"home": "creds=" + filepath.Join(home, "u.creds") + " ca=s3cret/ca.pem",
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		a, warnings, err := nats.Merge(named(name))
		got := a.Says()
		if err != nil {
			got = err.Error()
			if strings.Contains(got, "s3cret") {
				t.Errorf("%s: a secret is shown: %s", name, got)
			}
		}
		if !strings.Contains(got, want[name]) {
			t.Errorf("%s: is %s, want %s", name, got, want[name])
		}
		if (name == "odd") != (len(warnings) == 1 && warnings[0] == "context odd: fanmill does not know its setting colour, which does not count") {
			t.Errorf("%s: warnings %q", name, warnings)
		}
	}
}

package pipeline

import (
	"regexp"
	"strings"
)

// DatabaseKind is one kind of database, as its driver's own file registers it: all that the rest of fanmill needs to
// know of it. It holds no state.
type DatabaseKind struct {
	Name    string   // the "driver" of a job file
	Aliases []string // what a job file may write instead
	Label   string   // what people call it, in messages
	Driver  Driver

	File      bool // an address is the path of a file, the part "database" alone; else it is that of a server
	Port      int  // where its servers listen if nothing else is said
	Instances bool // a server may have named instances
	// Example is an address for the schema. Its password is a reference.
	Example Address
	// WithoutUser says, in a sentence for the schema, as whom the driver logs in if an address has no user.
	WithoutUser string

	// Split takes apart what the server's own tools write as one, such as a port within the server's name. An error
	// with a method Key() string is shown at that part, any other at the server. nil leaves all as it is.
	Split func(a *Address) error
	// DSN puts an address of a server together. escape makes a text safe within a URL, and leaves its references
	// ${VAR} to be escaped when they are replaced. A file needs none.
	DSN func(a *Address, escape func(string) string) string
	// CheckDSN reports a DSN, its references replaced, that cannot be read, without touching anything. One that can be
	// read and leads nowhere is the connection's own trouble, when it is opened. The error has no part of a password.
	// Several are joined (errors.Join). nil checks nothing.
	CheckDSN func(dsn string) error
	// CheckQuery reports what a query's text alone tells to be wrong with it in every database of this kind, whatever
	// its settings. nil checks nothing.
	CheckQuery func(sql string) error
	// Control makes the query for control totals of a query: what that returns is a table within it. The error says why
	// there is none for this one, such as a call of a procedure. nil makes none.
	Control func(sql string, v *Verify) (ControlQuery, error)
	// Passwords finds the passwords in a DSN, its references not replaced, as they are written there. nil finds none.
	Passwords func(dsn string) []string
	// Inline bounds the connections of a job that comes in a message. nil is a kind that such a job cannot read.
	Inline *InlineBounds
}

// Address is where a database is, in parts as a job file has them, without any escaping. Texts may have references.
type Address struct {
	Server, Instance, Database, User, Password string
	Port                                       int // 0 is the kind's own
	Options                                    []AddressOption
}

// AddressOption is a further setting of a driver.
type AddressOption struct{ Name, Value string }

// InlineBounds are what a job that somebody brings along may say of a connection: it is carried out with the rights of
// this process, and reaches only what those who run it have named.
type InlineBounds struct {
	// Options may stand in an address, case not counting: none names a file of this machine, another server or another
	// account.
	Options []string
	// Added are set in every such address, against what a library would take from this account's own folder.
	Added []AddressOption
	// CheckFile reports the path of a file that could be another than it says. nil checks nothing.
	CheckFile func(path string) error
	// CheckQuery reports a query that could reach more than its own database. nil checks nothing.
	CheckQuery func(sql string) error
}

var wholeReference = regexp.MustCompile(`\$\{[^}]*\}`)

// LiteralPassword reports whether a DSN, its references not replaced, has a password in it as such. All kinds are
// asked: a DSN that stands at the wrong driver holds its password as well.
func LiteralPassword(dsn string, kinds map[string]*DatabaseKind) bool {
	for _, kind := range kinds {
		if kind.Passwords == nil {
			continue
		}
		for _, password := range kind.Passwords(dsn) {
			if strings.Trim(wholeReference.ReplaceAllString(password, ""), `'"{} `) != "" {
				return true
			}
		}
	}
	return false
}

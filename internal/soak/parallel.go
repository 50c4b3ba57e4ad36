package soak

import (
	"flag"
	"strconv"
)

// Parallel has n of the parallel tests of a package run at a time, unless -parallel says how many. go test runs as many
// as there are processors, and tests that mostly wait, for leases, pauses and processes, leave those idle. TestMain
// calls it before it runs the tests.
func Parallel(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err) // it is no test
	}
}

// Package sameseed makes property tests draw the same values every time, so that what a change breaks is found by its own tests and not by
// somebody else's. Test files that use rapid import it. RAPID_SEED=0 draws new values, RAPID_CHECKS=20000 more of them (`task explore`).
package sameseed

import (
	"flag"
	"os"

	_ "pgregory.net/rapid" // defines the flag
)

func init() {
	if _, chosen := os.LookupEnv("RAPID_SEED"); !chosen {
		if err := flag.Set("rapid.seed", "1"); err != nil {
			panic(err)
		}
	}
}

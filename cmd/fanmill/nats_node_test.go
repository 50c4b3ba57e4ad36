package main

import (
	"fmt"
	"os"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// serveNATS is the NATS server of a configuration file, until the process is killed.
func serveNATS(conf string) {
	o, err := natsserver.ProcessConfigFile(conf)
	if err == nil {
		var s *natsserver.Server
		if s, err = natsserver.NewServer(o); err == nil {
			s.ConfigureLogger()
			s.Start()
			s.WaitForShutdown()
		}
	}
	fmt.Fprintln(os.Stderr, "NATS server:", err)
	os.Exit(1)
}

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

type uiFlags struct {
	flags
	page pageFlags
	open bool
}

func newUI(stdout, stderr io.Writer) *cobra.Command {
	var f uiFlags
	c := &cobra.Command{
		Use:   "ui",
		Short: "Open the page in a browser, where nobody serves it",
		Long: `ui shows the page of the store: what fanmill run does in other processes, the history, files, checkpoints, dead letters. It carries out
no runs; one that is started there begins when fanmill serve runs. The browser is opened with a code that is good once, and logged in by
it; whoever else is on this machine needs the token. Ctrl-C ends it.

fanmill serve has the same page by itself.`,
		Example: "  fanmill ui\n  fanmill ui --http 127.0.0.1:9000 --no-open",
		Args:    arguments(0, 0),
	}
	f.add(c, storeFlags, logFlags)
	f.page.add(c.Flags())
	noOpen := c.Flags().Bool("no-open", false, "print the address, and open no browser")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f.open = !*noOpen
		return ui(c, f, stdout, stderr)
	}
	return c
}

func ui(c *cobra.Command, f uiFlags, stdout, stderr io.Writer) error {
	s, err := f.settings(c, "")
	if err != nil {
		return err
	}
	page, err := f.page.page(s.env)
	switch {
	case err != nil:
		return badLine(c, err)
	case page.address == "":
		return badLine(c, errors.New("--http off leaves nothing to open; leave it out, or FANMILL_HTTP"))
	case page.Token == "" && page.UserHeader == "":
		page.Token = pipeline.NewToken() // so that nobody else on this machine is let in
	}
	log := slog.New(s.handler(stderr, s.level(), screen.Colors(stderr)))
	return s.with(c.Context(), log, func(sys *system) error {
		shown, err := page.openPage(log)
		if err != nil {
			return &exitError{exitBadJob, err}
		}
		if shown == nil {
			return fmt.Errorf("the page has no address; if it is fanmill serve's own, open http://%s/", page.address)
		}
		defer shown.close()
		backend := newPageBackend(&s, sys, nil)
		defer backend.close()
		shown.show(backend)
		defer shown.show(nil)
		url := shown.url
		if page.UserHeader == "" {
			url += "login#" + shown.Code()
		}
		if err := screen.Message(stdout, "the page: "+url+"\n"); err != nil {
			return err
		}
		if f.open {
			if err := browse(url); err != nil {
				log.Warn("the browser could not be opened; open the address above by hand", "error", err)
			}
		}
		<-c.Context().Done()
		return nil
	})
}

// browse opens an address in the user's browser.
func browse(url string) error {
	command := []string{"xdg-open", url}
	switch runtime.GOOS {
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", url}
	case "darwin":
		command = []string{"open", url}
	}
	cmd := exec.Command(command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

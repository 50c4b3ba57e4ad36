package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fanmill/internal/config"
	"fanmill/internal/screen"
)

// The widths in which help is laid out: that of the terminal, but lines longer than this are hard to read.
const helpWidth = 110

// exitCodes is for the help of the commands that run jobs.
const exitCodes = `Exit codes: 0 complete, 1 failed, 2 bad job or command line, 3 partial (some connection is missing, and named), 4 interrupted,
5 stopped for memory. After 3, 4 and 5, --resume goes on.`

// Groups of commands in the help of fanmill itself.
const (
	groupRun   = "run"
	groupLook  = "look"
	groupJob   = "job"
	groupOther = "other"
)

var commandGroups = []*cobra.Group{
	{ID: groupRun, Title: "Run jobs"}, {ID: groupLook, Title: "See what goes on"}, {ID: groupJob, Title: "Before the night"}, {ID: groupOther, Title: "More"},
}

// grouped puts commands into a group.
func grouped(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
	}
	return commands
}

// help writes a command's help for the width of the terminal.
func help(w io.Writer, c *cobra.Command) {
	width := screen.PageFor(w).Width
	if width == 0 || width > helpWidth {
		width = helpWidth
	}
	var b strings.Builder
	b.WriteString(screen.Paragraphs(cmp.Or(c.Long, c.Short), width))
	usage := c.UseLine()
	if c.HasAvailableSubCommands() {
		usage = c.CommandPath() + " COMMAND"
	}
	fmt.Fprintf(&b, "\n\nUsage\n  %s\n", usage)
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExamples\n%s\n", c.Example)
	}
	for _, g := range append(c.Groups(), &cobra.Group{Title: "Commands"}) {
		title := "\n" + g.Title + "\n"
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == g.ID {
				fmt.Fprintf(&b, "%s  %-*s  %s\n", title, c.NamePadding(), sub.Name(), sub.Short)
				title = ""
			}
		}
	}
	if c.HasAvailableLocalFlags() {
		fmt.Fprintf(&b, "\nFlags\n%s", c.LocalFlags().FlagUsagesWrapped(width))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n%s COMMAND --help tells more of a command.\n", c.CommandPath())
	}
	_, _ = io.WriteString(w, b.String())
}

// group makes a command that only holds others show its help, and takes the name of one that it has not for a bad command line.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		text := fmt.Sprintf("there is no command %q", args[0])
		if like := c.SuggestionsFor(args[0]); len(like) > 0 {
			text += fmt.Sprintf(" (did you mean %q?)", like[0])
		}
		return badLine(c, errors.New(text))
	}
	return c
}

// anyNumber is of arguments without an upper bound.
const anyNumber = -1

// arguments checks how many there are.
func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return badLine(c, fmt.Errorf("an argument is missing: %s", strings.TrimSuffix(c.UseLine(), " [flags]")))
		case most == 0 && len(args) > 0:
			return badLine(c, fmt.Errorf("%s takes no arguments, and there is %q", c.CommandPath(), args[0]))
		case most != anyNumber && len(args) > most:
			return badLine(c, fmt.Errorf("%q is an argument too many (a name with spaces needs quotes): %s", args[most], strings.TrimSuffix(c.UseLine(), " [flags]")))
		}
		return nil
	}
}

// badFlag is badLine for a flag that cannot be read. What the value should be is said in words, and not in Go's.
func badFlag(c *cobra.Command, err error) error {
	var v *pflag.InvalidValueError
	if errors.As(err, &v) {
		is := ""
		switch f := v.GetFlag(); f.Value.Type() {
		case "int", "int64", "uint64":
			is = "a whole number"
		case "bool":
			is = "true or false"
		case "duration":
			is = "a time with its unit, such as 30s or 5m"
		}
		if is != "" {
			err = fmt.Errorf("--%s is %s, not %q", v.GetFlag().Name, is, v.GetValue())
		}
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if like := config.Closest(unknown.GetSpecifiedName(), names); like != "" {
			err = fmt.Errorf("%w (did you mean --%s?)", err, like)
		}
	}
	return badLine(c, err)
}

// badLine gives an error the exit code of a bad command line, and says where help is.
func badLine(c *cobra.Command, err error) error {
	return &exitError{exitBadJob, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"fanmill/pipeline/process"

	"github.com/spf13/cobra"

	"fanmill/internal/screen"
	"fanmill/nats"
	"fanmill/pipeline/dead"
)

func newDead(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use:   "dead",
		Short: "Look at requests that their receiver refused; send them again, or give them up",
		Long: `A request that its receiver refuses for itself (a 422, say), or of which nobody knows whether it arrived, is a dead request. Its bytes are kept
in the data folder, whatever becomes of its run, until they are sent again or dropped; its destination is owing meanwhile. KEY is what
fanmill dead ls shows, or as much of its beginning as is the only one.`,
		Example: `  fanmill dead ls
  fanmill dead show 3kq7
  fanmill dead replay 3kq7
  fanmill dead drop 3kq7`,
	}
	c.AddCommand(deadList(stdout, stderr), deadShow(stdout, stderr), deadReplay(stdout, stderr), deadDrop(stdout, stderr))
	return group(c)
}

func deadList(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{Use: "ls [JOBID]", Short: "List dead requests, the oldest first", Args: arguments(0, 1),
		Example: "  fanmill dead ls\n  fanmill dead ls job_gst_data --json"}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.lookAtDead(c.Context(), stderr, func(node *process.Node) error {
			v := screen.LettersView{}
			if len(args) > 0 {
				v.Job = args[0]
			}
			if v.Letters, err = node.Letters().List(c.Context(), v.Job); err != nil {
				return err
			}
			return s.print(stdout, v)
		})
	}
	return c
}

func deadShow(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "show KEY",
		Short: "Show a dead request, what its receiver said, and how its body begins",
		Long: `show prints all that is known of a dead request, and the first 2 KB of its body: a body that is compressed with gzip is unpacked, one that
is no text is shown as hexadecimal bytes. The folder that it names has all of it, in the file body.`,
		Example: "  fanmill dead show 3kq7\n  fanmill dead show 3kq7 --json",
		Args:    arguments(1, 1),
	}
	f.add(c, storeFlags, logFlags, jsonFlag)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.settings(c, "")
		if err != nil {
			return err
		}
		return s.lookAtDead(c.Context(), stderr, func(node *process.Node) error {
			l, err := node.Letters().Find(c.Context(), args[0])
			if err != nil {
				return err
			}
			v := screen.LetterView{Letter: l.Letter, State: l.State, Folder: node.Dead.Path(l.Key)}
			if !l.Bodiless {
				body, err := node.Dead.Body(l.Key)
				if err != nil {
					return fmt.Errorf("show request %s: %w", l.Key, err)
				}
				v.Body, v.More = screen.Beginning(body, l.Encoding)
				if err := body.Close(); err != nil {
					return err
				}
			}
			return s.print(stdout, v)
		})
	}
	return c
}

// dead is where the requests are kept that receivers refuse.
func (s *settings) dead() *dead.Folder { return &dead.Folder{Dir: filepath.Join(s.env.Data, "dead")} }

// lookAtDead opens the store to look at dead requests, which are in the data folder whatever the store is.
func (s *settings) lookAtDead(ctx context.Context, stderr io.Writer, f func(*process.Node) error) error {
	if err := s.needData(); err != nil {
		return err
	}
	log := s.log(stderr)
	return s.bus(ctx, log, func(conn *nats.Conn) error {
		node := readingNode(conn)
		node.Log, node.Dead, node.Spool = log, s.dead(), s.spool(conn.StoreID(), log)
		return f(node)
	})
}

// eachLetter calls f for each of the dead requests that are named, all of which there must be; one that fails keeps
// none of the others back.
func eachLetter(ctx context.Context, node *process.Node, prefixes []string, f func(dead.Letter) error) error {
	var letters []dead.Letter
	for _, prefix := range prefixes {
		l, err := node.Letters().Find(ctx, prefix)
		if err != nil {
			return err
		}
		letters = append(letters, l.Letter)
	}
	var errs []error
	for _, l := range letters {
		errs = append(errs, f(l))
	}
	return errors.Join(errs...)
}

package nats

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// folder is the data folder of an embedded store. In it:
//
//	lock          the OS lock; whoever holds it runs the server
//	store.json    the store's id and the credentials, made once
//	server.json   where the server listens, written by the holder
//	context.json  the same for the nats CLI
//	jetstream/    the server's own files
//
// The folder is for its owner alone: all files but the server's are 0600, the folder is 0700.
type folder string

// identity is what store.json keeps.
type identity struct {
	ID       string `json:"id"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// address is what server.json keeps.
type address struct {
	Host string `json:"host"` // host:port
	PID  int    `json:"pid"`
}

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

// identity reads who the store is, making it up the first time. Only the holder of the lock may create.
func (d folder) identity(create bool) (identity, error) {
	var id identity
	err := d.read("store.json", &id)
	if errors.Is(err, fs.ErrNotExist) && create {
		id = identity{ID: rand.Text(), User: "fanmill", Password: rand.Text()}
		err = d.write("store.json", id)
	}
	if err == nil && (id.ID == "" || id.User == "" || id.Password == "") {
		err = fmt.Errorf("%s is incomplete", d.path("store.json"))
	}
	return id, err
}

// announce tells other processes, and the nats CLI, where the server listens.
func (d folder) announce(a address, id identity) error {
	if err := d.write("context.json", map[string]string{
		"description": "fanmill's embedded server in " + string(d),
		"url":         "nats://" + a.Host,
		"user":        id.User,
		"password":    id.Password,
	}); err != nil {
		return err
	}
	return d.write("server.json", a)
}

func (d folder) read(name string, v any) error {
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", d.path(name), err)
	}
	return nil
}

// write replaces a file at once: a reader sees the old one or the new one.
func (d folder) write(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(string(d), name+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	// Windows refuses the rename while another process reads the old file, which takes it no time.
	for try := 0; err == nil; try++ {
		if err = os.Rename(f.Name(), d.path(name)); err == nil || try == 20 {
			break
		}
		err = nil
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", d.path(name), err)
	}
	return nil
}

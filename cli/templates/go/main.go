// my-app: an example to replace. Needs nothing but Go's standard library.
//
// It keeps its state in the folder STATE_DIR. The sidecar saves that folder when this program
// has ended, and with --snapshot-every also while it runs, and restores it before this program
// starts, also in another pod.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type state struct {
	Count uint64 `json:"count"`
}

func load(path string) (state, error) {
	var s state
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// save replaces the file by a rename: nobody ever reads half of it.
func save(path string, s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func main() {
	folder := os.Getenv("STATE_DIR")
	if folder == "" {
		folder = "state"
	}
	path := filepath.Join(folder, "state.json")
	s, err := load(path)
	if err != nil {
		log.Fatal(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	turns := time.NewTicker(time.Second)
	for {
		s.Count++
		fmt.Println("count", s.Count)
		if err := save(path, s); err != nil {
			log.Fatal(err)
		}
		select {
		case <-stop:
			return
		case <-turns.C:
		}
	}
}

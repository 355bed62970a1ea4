// Counts in a file, one line for each number, and knows nothing of the sidecar.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	path := filepath.Join(os.Args[1], "count")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	count := 0
	if text, err := os.ReadFile(path); err == nil {
		fmt.Sscan(string(text), &count)
	}
	fmt.Println("start", count)
	for {
		select {
		case <-stop:
			fmt.Println("end", count)
			return
		case <-time.After(20 * time.Millisecond):
		}
		count++
		if err := os.WriteFile(path+".new", []byte(fmt.Sprint(count)), 0o600); err != nil {
			panic(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			panic(err)
		}
		fmt.Println("count", count)
	}
}

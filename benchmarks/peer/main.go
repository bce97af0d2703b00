// A peer of the ledger's engine: Tessera, the log of Go, on the same disk and in the same run.
//
//	peer -folder DIR -clients 32 -entries 20000 -size 1034
//
// As many clients as the load has add entries of the same size to a POSIX log in this process, each
// waiting until its entry has an index and is durable. No HTTP, no signature of an entry, no rules:
// Tessera leaves these to the personality around it. Prints a line of JSON.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	folder := flag.String("folder", "", "where the log is made")
	clients := flag.Int("clients", 32, "how many add at once")
	entries := flag.Int("entries", 20_000, "how many in all")
	size := flag.Int("size", 1034, "bytes of an entry")
	age := flag.Duration("age", 2*time.Millisecond, "how long a batch waits for more")
	flag.Parse()
	if err := run(*folder, *clients, *entries, *size, *age); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(folder string, clients, entries, size int, age time.Duration) error {
	key, _, err := note.GenerateKey(rand.Reader, "peer.example")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(key)
	if err != nil {
		return err
	}
	ctx := context.Background()
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return err
	}
	// A batch ends once every client has an entry in it.
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(time.Second).
		WithBatching(uint(clients), age)
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	took, seconds, err := add(ctx, appender, clients, entries, size)
	if err != nil {
		return err
	}
	slices.Sort(took)
	at := func(part float64) float64 {
		return float64(took[int(part*float64(len(took)-1))].Microseconds()) / 1000
	}
	line, err := json.Marshal(map[string]any{
		"entries": len(took), "per_second": float64(len(took)) / seconds,
		"p50_ms": at(0.5), "p99_ms": at(0.99),
	})
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return shutdown(ctx)
}

func add(
	ctx context.Context, appender *tessera.Appender, clients, entries, size int,
) ([]time.Duration, float64, error) {
	var wait sync.WaitGroup
	took, faults := make([][]time.Duration, clients), make([]error, clients)
	began := time.Now()
	for at := range clients {
		wait.Go(func() {
			for range entries / clients {
				data := make([]byte, size)
				rand.Read(data)
				start := time.Now()
				if _, faults[at] = appender.Add(ctx, tessera.NewEntry(data))(); faults[at] != nil {
					return
				}
				took[at] = append(took[at], time.Since(start))
			}
		})
	}
	wait.Wait()
	seconds := time.Since(began).Seconds()
	for _, fault := range faults {
		if fault != nil {
			return nil, 0, fault
		}
	}
	return slices.Concat(took...), seconds, nil
}

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// serveLog runs a Tessera log: it serves its tiles, and for each line on standard input, a JSON
// array of entries in base64, adds these in order, has the checkpoint cosigned by the witnesses, and
// says which checkpoint it published, or why there is none. It ends with its input.
func serveLog(args []string) error {
	flags := flag.NewFlagSet("log", flag.ContinueOnError)
	folder := flags.String("folder", "", "where its files are")
	key := flags.String("key", "", "the log's private note key")
	witness := flags.String("witness", "", "VKEY URL of the witness that must cosign")
	listen := flags.String("listen", "127.0.0.1:0", "where tiles are served")
	timeout := flags.Duration("timeout", 20*time.Second, "how long to wait for a checkpoint")
	if err := flags.Parse(args); err != nil {
		return err
	}
	signer, err := note.NewSigner(*key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	go http.Serve(listener, http.FileServer(http.Dir(*folder)))
	if err := say(map[string]string{"url": "http://" + listener.Addr().String()}); err != nil {
		return err
	}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 64<<20)
	if !input.Scan() { // the witness starts with our URL, so its own comes after ours
		return input.Err()
	}
	group, cosigner, err := witnesses(input.Text() + *witness)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := found(ctx, *folder, signer); err != nil {
		return err
	}
	options := appendOptions(signer).WithWitnesses(group, nil)
	appender, shutdown, reader, err := newAppender(ctx, *folder, options)
	if err != nil {
		return err
	}
	for input.Scan() {
		answer, err := add(ctx, appender, reader, cosigner, input.Bytes(), *timeout)
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := say(answer); err != nil {
			return err
		}
	}
	end, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_ = shutdown(end) // what no witness cosigns stays unpublished: that is what is tested
	return input.Err()
}

// found makes the folder, whose first checkpoint, of no entries, no member of Zhixin cosigns.
func found(ctx context.Context, folder string, signer note.Signer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, shutdown, _, err := newAppender(ctx, folder, appendOptions(signer))
	if err != nil {
		return err
	}
	return shutdown(ctx)
}

func appendOptions(signer note.Signer) *tessera.AppendOptions {
	return tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(100*time.Millisecond).
		WithBatching(256, 200*time.Millisecond)
}

func newAppender(
	ctx context.Context, folder string, options *tessera.AppendOptions,
) (*tessera.Appender, func(context.Context) error, tessera.LogReader, error) {
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	if err != nil {
		return nil, nil, nil, err
	}
	return tessera.NewAppender(ctx, driver, options)
}

func witnesses(line string) (tessera.WitnessGroup, note.Verifier, error) {
	vkey, address, found := strings.Cut(strings.TrimSpace(line), " ")
	if !found {
		return tessera.WitnessGroup{}, nil, errors.New("want VKEY URL")
	}
	root, err := url.Parse(address)
	if err != nil {
		return tessera.WitnessGroup{}, nil, err
	}
	one, err := tessera.NewWitness(vkey, root)
	if err != nil {
		return tessera.WitnessGroup{}, nil, err
	}
	cosigner, err := fnote.NewVerifierForCosignatureV1(vkey)
	return tessera.NewWitnessGroup(1, one), cosigner, err
}

func add(
	ctx context.Context, appender *tessera.Appender, reader tessera.LogReader,
	cosigner note.Verifier, line []byte, timeout time.Duration,
) (map[string]string, error) {
	var entries [][]byte
	if err := json.Unmarshal(line, &entries); err != nil {
		return nil, err
	}
	futures := make([]tessera.IndexFuture, len(entries))
	for i, entry := range entries {
		futures[i] = appender.Add(ctx, tessera.NewEntry(entry))
	}
	size := uint64(0)
	for i, future := range futures {
		index, err := future()
		if err != nil {
			return nil, err
		}
		if i > 0 && index.Index != size {
			return nil, fmt.Errorf("entry %d came to stand at %d", size, index.Index)
		}
		size = index.Index + 1
	}
	end := time.Now().Add(timeout)
	for time.Now().Before(end) {
		signed, err := reader.ReadCheckpoint(ctx)
		if err == nil && covers(signed, size) {
			opened, err := note.Open(signed, note.VerifierList(cosigner))
			if err != nil {
				return nil, err
			}
			return map[string]string{
				"checkpoint": base64.StdEncoding.EncodeToString(signed),
				"cosigned":   opened.Sigs[0].Name,
			}, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, fmt.Errorf("no checkpoint of %d entries was cosigned in time", size)
}

func covers(signed []byte, size uint64) bool {
	lines := strings.Split(string(signed), "\n")
	return len(lines) > 1 && lines[1] == fmt.Sprint(size)
}

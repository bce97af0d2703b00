package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

type followed struct {
	Size    int64    `json:"size"`
	Root    string   `json:"root"`
	Entries []string `json:"entries"` // SHA-256 of each, from where the last tree ended
	Proved  bool     `json:"proved"`  // this tree begins with the last one
}

// follow reads checkpoints until one covers -sizes entries, and every entry up to it from the
// tiles. torchwood's client authenticates each tile and each entry against the tree.
func follow(args []string) error {
	flags := flag.NewFlagSet("follow", flag.ContinueOnError)
	url := flags.String("url", "", "the ledger's base URL")
	policy := flags.String("policy", "", "a tlog-policy: its log, and a quorum of its witnesses")
	until := flags.Int64("until", 1, "end when the tree has so many entries")
	timeout := flags.Duration("timeout", 60*time.Second, "give up after that")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	trusted, err := torchwood.ParsePolicy([]byte(*policy))
	if err != nil {
		return err
	}
	tiles, err := torchwood.NewTileFetcher(*url)
	if err != nil {
		return err
	}
	client, err := torchwood.NewClient(tiles)
	if err != nil {
		return err
	}
	var last tlog.Tree
	for last.N < *until {
		tree, err := newest(ctx, *url, trusted)
		if err != nil {
			return err
		}
		if tree.N == last.N {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		found, err := read(ctx, client, tiles, last, tree)
		if err != nil {
			return err
		}
		if err := say(found); err != nil {
			return err
		}
		last = tree
	}
	return nil
}

func newest(ctx context.Context, url string, trusted torchwood.Policy) (tlog.Tree, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/checkpoint", nil)
	if err != nil {
		return tlog.Tree{}, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return tlog.Tree{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return tlog.Tree{}, nil
	}
	signed, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil || answer.StatusCode != http.StatusOK {
		return tlog.Tree{}, errors.Join(err, fmt.Errorf("checkpoint: %s", answer.Status))
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, trusted)
	return checkpoint.Tree, err
}

func read(
	ctx context.Context, client *torchwood.Client, tiles torchwood.TileReader, last, tree tlog.Tree,
) (*followed, error) {
	found := &followed{Size: tree.N, Root: tree.Hash.String()}
	hashes := torchwood.TileHashReaderWithContext(ctx, tree, tiles)
	if last.N > 0 {
		proof, err := tlog.ProveTree(tree.N, last.N, hashes)
		if err != nil {
			return nil, err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, last.N, last.Hash); err != nil {
			return nil, err
		}
		found.Proved = true
	}
	for _, entry := range client.AllEntries(ctx, tree, last.N) {
		digest := sha256.Sum256(entry)
		found.Entries = append(found.Entries, hex.EncodeToString(digest[:]))
	}
	if err := client.Err(); err != nil {
		return nil, err
	}
	for index := last.N; index < tree.N; index++ {
		entry, proof, err := client.Entry(ctx, tree, index)
		if err != nil {
			return nil, err
		}
		leaf := tlog.RecordHash(entry)
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Command verifier checks version directories of Zhixin with other people's code.
//
// It knows nothing of Zhixin's Python: receipts are read by transparency-dev/formats, Merkle proofs by
// transparency-dev/merkle, notes by golang.org/x/mod/sumdb/note. It checks what a third party would:
// that the receipt proves statement.json's bytes, that a log key in force signed the checkpoint, that
// the quorum in force cosigned it, and that the statement is the owner's.
//
//	verifier check -trust DIR [-now RFC3339] VERSION-DIR...   one JSON line each; exit 1 if one is refused
//	verifier sign                                             signs sample notes for Python to verify
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

type verdict struct {
	Path   string `json:"path"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: verifier check|sign ...")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "check":
		err = check(os.Args[2:])
	case "sign":
		err = sign(os.Stdout)
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func check(args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	trustDir := flags.String("trust", "", "directory with members.json")
	nowText := flags.String("now", "", "the verifier's clock, RFC 3339 (default: now)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	now := time.Now()
	if *nowText != "" {
		parsed, err := time.Parse(time.RFC3339, *nowText)
		if err != nil {
			return err
		}
		now = parsed
	}
	trust, err := readTrust(filepath.Join(*trustDir, "members.json"))
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	refused := false
	lines := json.NewEncoder(os.Stdout)
	for _, path := range flags.Args() {
		answer := verdict{Path: path, OK: true}
		if err := trust.checkVersion(path, now); err != nil {
			answer.OK, answer.Reason, refused = false, err.Error(), true
		}
		if err := lines.Encode(answer); err != nil {
			return err
		}
	}
	if refused {
		os.Exit(1)
	}
	return nil
}

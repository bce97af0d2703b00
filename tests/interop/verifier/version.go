package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

const (
	clockSkew       = 5 * time.Minute
	maxReceiptBytes = 256 << 10
)

func (t *trust) checkVersion(dir string, now time.Time) error {
	statement, err := os.ReadFile(filepath.Join(dir, "statement.json"))
	if err != nil {
		return err
	}
	receipt, err := os.ReadFile(filepath.Join(dir, "receipt.tlog-proof"))
	if err != nil {
		return err
	}
	if len(receipt) > maxReceiptBytes {
		return errors.New("receipt is longer than 256 KiB")
	}
	var p proof.TLogProof
	if err := p.Unmarshal(receipt); err != nil {
		return err
	}
	// Unmarshal is lenient (index 007, a missing final newline); the form has one spelling.
	if p.ExtraData != nil || !bytes.Equal(p.Marshal(), receipt) {
		return errors.New("receipt is not in its canonical form")
	}
	cp, err := t.checkCheckpoint(p.Checkpoint, now)
	if err != nil {
		return err
	}
	if err := t.checkStatement(statement, p.Index); err != nil {
		return fmt.Errorf("statement: %w", err)
	}
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(statement)
	return merkleproof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, cp.Size, leaf, hashes, cp.Hash)
}

// checkCheckpoint opens the note with the log and cosigner keys in force at its size.
func (t *trust) checkCheckpoint(data []byte, now time.Time) (*log.Checkpoint, error) {
	cut := bytes.LastIndex(data, []byte("\n\n"))
	if cut < 0 {
		return nil, errors.New("checkpoint has no blank line")
	}
	text := data[:cut+1]
	var cp log.Checkpoint
	rest, err := cp.Unmarshal(text)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 || len(cp.Hash) != sha256.Size || cp.Size == 0 || string(cp.Marshal()) != string(text) {
		return nil, errors.New("checkpoint is not in its canonical form")
	}
	if cp.Origin != t.Origin {
		return nil, fmt.Errorf("origin %q, want %q", cp.Origin, t.Origin)
	}
	index := t.at(cp.Size)
	logs, cosigners, err := t.verifiers(index)
	if err != nil {
		return nil, err
	}
	// note.Open holds the note's form and refuses a failing line of a known key; it looks at the
	// first line of each key only, so every line is verified below as well.
	if _, err := note.Open(data, note.VerifierList(append(append([]note.Verifier{}, logs...), cosigners...)...)); err != nil {
		return nil, err
	}
	signedByLog, times, err := readLines(string(text), string(data[cut+2:]), logs, cosigners)
	if err != nil {
		return nil, err
	}
	if !signedByLog {
		return nil, errors.New("no log key in force signed the checkpoint")
	}
	want, err := t.quorumAt(index)
	if err != nil {
		return nil, err
	}
	counted := 0
	for _, at := range times {
		if !at.After(now.Add(clockSkew)) {
			counted++
		}
	}
	if counted < want {
		return nil, fmt.Errorf("%d cosignatures count, the quorum is %d", counted, want)
	}
	if cp.Size == t.size && !bytes.Equal(cp.Hash, t.root) {
		return nil, errors.New("the trust has another root at this size: forked")
	}
	return &cp, nil
}

func (t *trust) verifiers(index uint64) (logs, cosigners []note.Verifier, err error) {
	for _, m := range t.Members {
		for _, s := range inForce(m.Logs, index) {
			v, err := note.NewVerifier(s.VKey)
			if err != nil {
				return nil, nil, err
			}
			logs = append(logs, v)
		}
		for _, s := range inForce(m.Cosigners, index) {
			v, err := cosignerVerifier(s.VKey)
			if err != nil {
				return nil, nil, err
			}
			cosigners = append(cosigners, v)
		}
	}
	return logs, cosigners, nil
}

func cosignerVerifier(vkey string) (note.Verifier, error) {
	if v, err := fnote.NewMLDSAVerifier(vkey); err == nil {
		return v, nil
	}
	return fnote.NewVerifierForCosignatureV1(vkey)
}

// readLines verifies every line of a known key; a cosigner counts once, with its latest time.
func readLines(text, lines string, logs, cosigners []note.Verifier) (bool, map[string]time.Time, error) {
	signedByLog, times := false, map[string]time.Time{}
	for _, line := range strings.Split(strings.TrimSuffix(lines, "\n"), "\n") {
		name, encoded, ok := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		if !ok {
			return false, nil, errors.New("a signature line has no name")
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(raw) < 5 {
			return false, nil, errors.New("a signature line is not base64")
		}
		id := binary.BigEndian.Uint32(raw)
		if v := find(logs, name, id); v != nil {
			if !v.Verify([]byte(text), raw[4:]) {
				return false, nil, fmt.Errorf("the log's signature by %s fails", name)
			}
			signedByLog = true
		}
		if v := find(cosigners, name, id); v != nil {
			if !v.Verify([]byte(text), raw[4:]) {
				return false, nil, fmt.Errorf("the cosignature by %s fails", name)
			}
			seconds := binary.BigEndian.Uint64(raw[4:12])
			if seconds > math.MaxInt64 {
				return false, nil, fmt.Errorf("the cosignature by %s has a time of 2^63 or more", name)
			}
			at := time.Unix(int64(seconds), 0)
			if at.After(times[name]) {
				times[name] = at
			}
		}
	}
	return signedByLog, times, nil
}

func find(verifiers []note.Verifier, name string, id uint32) note.Verifier {
	for _, v := range verifiers {
		if v.Name() == name && v.KeyHash() == id {
			return v
		}
	}
	return nil
}

type envelope struct {
	Payload     []byte `json:"payload"`
	PayloadType string `json:"payloadType"`
	Signatures  []struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	} `json:"signatures"`
}

// checkStatement verifies the DSSE signature by the owner's statement key in force at index.
func (t *trust) checkStatement(data []byte, index uint64) error {
	var e envelope
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		return err
	}
	if e.PayloadType != "application/vnd.in-toto+json" || len(e.Signatures) != 1 {
		return errors.New("not one signature over an in-toto payload")
	}
	var s struct {
		PredicateType string `json:"predicateType"`
		Predicate     struct {
			Origin  string `json:"origin"`
			Dataset string `json:"dataset"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(e.Payload, &s); err != nil {
		return err
	}
	if s.PredicateType != "urn:zhixin:dataset:v1" || s.Predicate.Origin != t.Origin {
		return errors.New("not a dataset statement for this ledger")
	}
	owner, _, _ := strings.Cut(s.Predicate.Dataset, "/")
	key, err := t.statementKey(owner, index)
	if err != nil {
		return err
	}
	id := sha256.Sum256(key)
	if e.Signatures[0].KeyID != hex.EncodeToString(id[:]) {
		return fmt.Errorf("signed by another key than %s's", owner)
	}
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(e.Payload), e.Payload)
	if !ed25519.Verify(key, []byte(pae), e.Signatures[0].Sig) {
		return fmt.Errorf("%s's signature fails", owner)
	}
	return nil
}

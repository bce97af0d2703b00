package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

type sample struct {
	Origin    string   `json:"origin"`
	Log       string   `json:"log"`
	Cosigners []string `json:"cosigners"`
	Leaf      string   `json:"leaf"`
	Receipt   string   `json:"receipt"`
}

// sign writes a receipt of a two-leaf log, with an Ed25519 and an ML-DSA-44 cosignature, all of fresh keys.
func sign(out io.Writer) error {
	const origin = "ledger.example/go"
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	logSigner, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	edKey, edVKey, err := note.GenerateKey(rand.Reader, "one.example/witness")
	if err != nil {
		return err
	}
	edSigner, err := fnote.NewSignerForCosignatureV1(edKey)
	if err != nil {
		return err
	}
	if edVKey, err = fnote.VKeyToCosignatureV1(edVKey); err != nil {
		return err
	}
	mlKey, mlVKey, err := fnote.GenerateMLDSAKey("two.example/witness")
	if err != nil {
		return err
	}
	mlSigner, err := fnote.NewMLDSASigner(mlKey)
	if err != nil {
		return err
	}
	leaf := "a leaf that Go put into its log"
	first := rfc6962.DefaultHasher.HashLeaf([]byte(leaf))
	second := rfc6962.DefaultHasher.HashLeaf([]byte("another"))
	cp := log.Checkpoint{Origin: origin, Size: 2, Hash: rfc6962.DefaultHasher.HashChildren(first, second)}
	signed, err := note.Sign(&note.Note{Text: string(cp.Marshal())}, logSigner, edSigner, mlSigner)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	p := proof.TLogProof{Index: 0, Hashes: [][sha256.Size]byte{[sha256.Size]byte(second)}, Checkpoint: signed}
	return json.NewEncoder(out).Encode(sample{
		Origin: origin, Log: vkey, Cosigners: []string{edVKey, mlVKey}, Leaf: leaf, Receipt: string(p.Marshal()),
	})
}

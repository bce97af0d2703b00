package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

// member is an agency of the ledger, with the seeds of its statement and cosigner keys in hex.
type member struct {
	Name     string `json:"name"`
	Seed     string `json:"seed"`
	Cosigner string `json:"cosigner"`
}

type world struct {
	Origin  string   `json:"origin"`
	Members []member `json:"members"`
}

func readWorld(path string) (*world, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var made world
	if err := json.Unmarshal(data, &made); err != nil {
		return nil, err
	}
	if len(made.Members) == 0 {
		return nil, fmt.Errorf("%s names no member", path)
	}
	return &made, nil
}

// chain makes the statements of one dataset, each version naming the entry of the one before.
type chain struct {
	origin, dataset string
	key             ed25519.PrivateKey
	keyid           string
	version         int
	previous        string // as JSON: null, or the digest in quotes
}

const contractDigest = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"

func newChain(origin string, owner member, name string) (*chain, error) {
	seed, err := hex.DecodeString(owner.Seed)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the seed of %s is not 64 hex digits", owner.Name)
	}
	key := ed25519.NewKeyFromSeed(seed)
	digest := sha256.Sum256(key.Public().(ed25519.PublicKey))
	made := &chain{origin: origin, dataset: owner.Name + "/" + name, key: key, previous: "null"}
	made.keyid = hex.EncodeToString(digest[:])
	return made, nil
}

// contract gives the envelope of the dataset's contract, version 1.0.0.
func (c *chain) contract() []byte {
	predicate := fmt.Sprintf(`{"dataset":"%s","origin":"%s","version":"1.0.0"}`, c.dataset, c.origin)
	return c.envelope("contract", predicate, contractDigest, c.dataset+"@1.0.0")
}

// next gives the envelope of the dataset's next version.
func (c *chain) next() []byte {
	c.version++
	name := fmt.Sprintf("%s@%d", c.dataset, c.version)
	root, manifest := digestOf("root "+name), digestOf("manifest "+name)
	predicate := fmt.Sprintf(`{"contract":{"sha256":"%s","version":"1.0.0"},"dataset":"%s","inputs":[],`+
		`"origin":"%s","previous":%s,"root":"%s","version":"%d"}`,
		contractDigest, c.dataset, c.origin, c.previous, root, c.version)
	entry := c.envelope("dataset", predicate, manifest, name)
	c.previous = `"` + digestOf(string(entry)) + `"`
	return entry
}

// envelope signs a statement. What is formatted here needs no escapes, and members stand in the
// order of JCS, so that these are the entry's very bytes in the ledger.
func (c *chain) envelope(kind, predicate, digest, name string) []byte {
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicate":%s,`+
		`"predicateType":"urn:zhixin:%s:v1","subject":[{"digest":{"sha256":"%s"},"name":"%s"}]}`,
		predicate, kind, digest, name)
	const payloadType = "application/vnd.in-toto+json"
	signed := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
	signature := ed25519.Sign(c.key, []byte(signed))
	return fmt.Appendf(nil, `{"payload":"%s","payloadType":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}`,
		base64.StdEncoding.EncodeToString([]byte(payload)), payloadType, c.keyid,
		base64.StdEncoding.EncodeToString(signature))
}

func digestOf(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// standIn answers for the members' witnesses (C2SP tlog-witness) and cosigns whatever it is asked
// to. Real ones replay every entry, on machines of their own; so the log's part in publication is
// in the figures, and theirs is not. It says where it listens, and serves until it is killed.
func standIn(address string, world *world) error {
	keys := map[string]ed25519.PrivateKey{}
	for _, one := range world.Members {
		seed, err := hex.DecodeString(one.Cosigner)
		if err != nil || len(seed) != ed25519.SeedSize {
			return fmt.Errorf("the cosigner's seed of %s is not 64 hex digits", one.Name)
		}
		keys[one.Name] = ed25519.NewKeyFromSeed(seed)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{member}/add-checkpoint", func(w http.ResponseWriter, r *http.Request) {
		key, found := keys[r.PathValue("member")]
		body, err := io.ReadAll(r.Body)
		if !found || err != nil {
			http.NotFound(w, r)
			return
		}
		line, err := cosigned(body, r.PathValue("member")+"/witness", key, time.Now())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(line)
	})
	return http.Serve(listener, mux)
}

// cosigned gives the signature line for a request: old size and proof, a blank line, the note.
func cosigned(body []byte, name string, key ed25519.PrivateKey, now time.Time) ([]byte, error) {
	_, signed, found := bytes.Cut(body, []byte("\n\n"))
	text, _, also := bytes.Cut(signed, []byte("\n\n"))
	if !found || !also {
		return nil, errors.New("no signed note follows the proof")
	}
	public := key.Public().(ed25519.PublicKey)
	id := sha256.Sum256(append([]byte(name+"\n\x04"), public...))
	message := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", now.Unix(), text)
	line := binary.BigEndian.AppendUint64(id[:4:4], uint64(now.Unix()))
	line = append(line, ed25519.Sign(key, message)...)
	return fmt.Appendf(nil, "— %s %s\n", name, base64.StdEncoding.EncodeToString(line)), nil
}

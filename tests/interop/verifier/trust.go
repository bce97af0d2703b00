package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// trustFile is members.json: every integer in it is a string.
type trustFile struct {
	Type    string   `json:"type"`
	Origin  string   `json:"origin"`
	Size    string   `json:"size"`
	Root    string   `json:"root"`
	Quorums []quorum `json:"quorums"`
	Members []member `json:"members"`
}

type quorum struct {
	From   string `json:"from"`
	Quorum string `json:"quorum"`
}

type span struct {
	Key   string  `json:"key"`
	VKey  string  `json:"vkey"`
	From  string  `json:"from"`
	Until *string `json:"until"`
}

type member struct {
	Name          string `json:"name"`
	StatementKeys []span `json:"statement_keys"`
	Cosigners     []span `json:"cosigners"`
	Logs          []span `json:"logs"`
}

// trust is the history of keys up to size, as a consumer pinned it.
type trust struct {
	trustFile
	size uint64
	root []byte
}

func readTrust(path string) (*trust, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var t trust
	if err := json.Unmarshal(data, &t.trustFile); err != nil {
		return nil, err
	}
	if t.Type != "zhixin/trust/v1" {
		return nil, fmt.Errorf("unknown type %q", t.Type)
	}
	if t.size, err = strconv.ParseUint(t.Size, 10, 63); err != nil {
		return nil, err
	}
	if t.root, err = hex.DecodeString(t.Root); err != nil {
		return nil, err
	}
	return &t, nil
}

// at gives the index by whose keys a checkpoint of this size is judged.
func (t *trust) at(size uint64) uint64 {
	if size > t.size {
		size = t.size
	}
	return size - 1
}

func (t *trust) quorumAt(index uint64) (int, error) {
	k := 0
	for _, q := range t.Quorums {
		from, err := strconv.ParseUint(q.From, 10, 63)
		if err != nil {
			return 0, err
		}
		if from > index {
			break
		}
		if k, err = strconv.Atoi(q.Quorum); err != nil {
			return 0, err
		}
	}
	if k < 1 {
		return 0, fmt.Errorf("no quorum in force at %d", index)
	}
	return k, nil
}

// inForce gives the spans that hold at index: from up to, not including, until.
func inForce(spans []span, index uint64) []span {
	var held []span
	for _, s := range spans {
		from, err := strconv.ParseUint(s.From, 10, 63)
		if err != nil || from > index {
			continue
		}
		if s.Until != nil {
			if until, err := strconv.ParseUint(*s.Until, 10, 63); err != nil || index >= until {
				continue
			}
		}
		held = append(held, s)
	}
	return held
}

func (t *trust) statementKey(name string, index uint64) ([]byte, error) {
	for _, m := range t.Members {
		if m.Name != name {
			continue
		}
		// An entry beyond the trust's own size is judged by the latest keys.
		if index >= t.size {
			index = t.size - 1
		}
		for _, s := range inForce(m.StatementKeys, index) {
			return base64.StdEncoding.DecodeString(s.Key)
		}
		return nil, fmt.Errorf("%s has no statement key in force at %d", name, index)
	}
	return nil, fmt.Errorf("%s is no member", name)
}

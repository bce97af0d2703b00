package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// client states the versions of one dataset over one connection.
type client struct {
	chain   *chain
	http    *http.Client
	url     string
	waiting [][]byte
	took    []time.Duration
	again   int
	fault   error
}

func newClient(o options, world *world, number int) (*client, error) {
	owner := world.Members[number%len(world.Members)]
	made, err := newChain(world.Origin, owner, fmt.Sprintf("load-%s-%d", o.run, number))
	if err != nil {
		return nil, err
	}
	url := o.url + "/entries"
	if o.receipts {
		url += "?wait=receipt&timeout=" + strconv.Itoa(o.timeout)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	limit := time.Duration(o.timeout+10) * time.Second
	return &client{chain: made, url: url, http: &http.Client{Transport: transport, Timeout: limit}}, nil
}

// open states the dataset's contract; nothing of it is measured.
func (c *client) open() error {
	_, err := c.post(c.chain.contract())
	return err
}

func (c *client) build(count int) {
	c.waiting = c.waiting[:0]
	for range count {
		c.waiting = append(c.waiting, c.chain.next())
	}
	c.took, c.again = make([]time.Duration, 0, count), 0
}

func (c *client) send() {
	for _, entry := range c.waiting {
		began := time.Now()
		if _, c.fault = c.post(entry); c.fault != nil {
			return
		}
		c.took = append(c.took, time.Since(began))
	}
}

// post brings an envelope in, coming again whenever it is told to, and gives its index.
func (c *client) post(entry []byte) (int, error) {
	for {
		answer, err := c.http.Post(c.url, "application/json", bytes.NewReader(entry))
		if err != nil {
			return 0, err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			return 0, err
		}
		switch answer.StatusCode {
		case http.StatusCreated, http.StatusOK:
			var told struct{ Index int }
			return told.Index, json.Unmarshal(body, &told)
		case http.StatusTooManyRequests:
			c.again++
			after, err := strconv.Atoi(answer.Header.Get("Retry-After"))
			if err != nil {
				after = 1
			}
			time.Sleep(time.Duration(after) * time.Second)
		default:
			return 0, fmt.Errorf("the ledger answered %s: %s", answer.Status, body)
		}
	}
}

// quantiles gives the median, the 99th hundredth and the longest, in milliseconds.
func quantiles(took []time.Duration) (float64, float64, float64) {
	if len(took) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(took))
	at := func(part float64) float64 {
		return float64(sorted[int(part*float64(len(sorted)-1))].Microseconds()) / 1000
	}
	return at(0.5), at(0.99), at(1)
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

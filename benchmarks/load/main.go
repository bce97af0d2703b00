// Load on a ledger over HTTP: many clients, each with a dataset of its own, stating one version
// after another as fast as the ledger takes them.
//
//	load -url http://127.0.0.1:8080 -members members.json -clients 32 -entries 200000
//
// Statements are built and signed before the clock of their round starts, so that the figures are
// the ledger's. One line of JSON a round goes to standard output, and one for everything at the end.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

type options struct {
	url, members, run string
	standIn           string
	clients, entries  int
	round             int
	receipts          bool
	timeout           int
}

// report is what a round, or the whole, took.
type report struct {
	What    string  `json:"what"`
	Entries int     `json:"entries"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"per_second"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Longest float64 `json:"longest_ms"`
	Again   int     `json:"told_to_come_again"`
	Busy    float64 `json:"client_cpu_seconds"`
}

func main() {
	asked := parse()
	if err := run(asked); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func parse() options {
	var o options
	flag.StringVar(&o.url, "url", "", "the ledger's base URL")
	flag.StringVar(&o.members, "members", "", "file with origin, member names and seeds")
	flag.StringVar(&o.run, "run", "a", "letters that make this run's datasets differ from another's")
	flag.IntVar(&o.clients, "clients", 32, "how many clients at once, each with a connection")
	flag.IntVar(&o.entries, "entries", 10_000, "how many versions in all")
	flag.IntVar(&o.round, "round", 100_000, "how many versions are built before they are sent")
	flag.BoolVar(&o.receipts, "receipts", false, "wait for each receipt, not for the index alone")
	flag.IntVar(&o.timeout, "timeout", 60, "seconds that a receipt may take")
	flag.StringVar(&o.standIn, "stand-in", "", "no load: answer for the witnesses at this address")
	flag.Parse()
	return o
}

func run(o options) error {
	if o.standIn != "" {
		world, err := readWorld(o.members)
		if err != nil {
			return err
		}
		return standIn(o.standIn, world)
	}
	if o.url == "" || o.members == "" || o.clients < 1 || o.entries < 1 || o.round < o.clients {
		return fmt.Errorf("-url and -members are needed, and a round of at least a version a client")
	}
	world, err := readWorld(o.members)
	if err != nil {
		return err
	}
	clients := make([]*client, o.clients)
	for at := range clients {
		if clients[at], err = newClient(o, world, at); err != nil {
			return err
		}
		if err := clients[at].open(); err != nil {
			return err
		}
	}
	var whole []time.Duration
	total := report{What: "all"}
	for sent := 0; sent < o.entries; {
		count := min(o.round, o.entries-sent)
		for at, each := range clients {
			each.build(share(count, o.clients, at))
		}
		one, took, err := oneRound(clients)
		if err != nil {
			return err
		}
		sent += count
		whole = append(whole, took...)
		total.Seconds += one.Seconds
		total.Again += one.Again
		total.Busy += one.Busy
		one.What = fmt.Sprintf("%d to %d", sent-count, sent)
		print(one, took)
	}
	print(total, whole)
	return nil
}

// share gives how many of count fall to one of n clients.
func share(count, n, at int) int {
	part := count / n
	if at < count%n {
		part++
	}
	return part
}

func oneRound(clients []*client) (report, []time.Duration, error) {
	var wait sync.WaitGroup
	busy, began := cpuSeconds(), time.Now()
	for _, each := range clients {
		wait.Go(each.send)
	}
	wait.Wait()
	one := report{Seconds: time.Since(began).Seconds(), Busy: cpuSeconds() - busy}
	var took []time.Duration
	for _, each := range clients {
		if each.fault != nil {
			return one, nil, each.fault
		}
		took = append(took, each.took...)
		one.Again += each.again
	}
	return one, took, nil
}

func print(r report, took []time.Duration) {
	r.Entries = len(took)
	r.Rate = float64(r.Entries) / r.Seconds
	r.P50, r.P99, r.Longest = quantiles(took)
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

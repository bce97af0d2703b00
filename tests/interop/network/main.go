// Command network is the other side of the ledger's HTTP interface: a client that follows a ledger
// by its tiles, and a log that asks our witness. It stands on filippo.io/torchwood and
// transparency-dev/tessera, and knows nothing of Zhixin's rules.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: network follow|log …"))
	}
	var err error
	switch os.Args[1] {
	case "follow":
		err = follow(os.Args[2:])
	case "log":
		err = serveLog(os.Args[2:])
	default:
		err = fmt.Errorf("no such command: %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "network:", err)
	os.Exit(1)
}

func say(answer any) error {
	return json.NewEncoder(os.Stdout).Encode(answer)
}

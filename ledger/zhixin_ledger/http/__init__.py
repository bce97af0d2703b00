"""The ledger over HTTP: `client` reaches logs and witnesses, the rest serves them."""

"""What `make bench` is made of: a server, its tables, peers, clocks, and a section a file."""

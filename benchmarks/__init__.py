"""What the relay costs and how long it stalls, beside coTURN on the same machine."""

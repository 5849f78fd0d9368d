"""The pages over HTTP, and the check from the command line."""

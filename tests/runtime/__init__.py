"""The process around the parts: reactor, supervision, logs, health, command line."""

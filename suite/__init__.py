"""One process, one reactor: configuration, listeners, supervision, logs, health and pages."""

"""The suite between two networks."""

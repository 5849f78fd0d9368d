"""What browsers use the gateway with: an ES module, the historic global, their types."""

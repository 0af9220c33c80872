"""knowncircuits."""

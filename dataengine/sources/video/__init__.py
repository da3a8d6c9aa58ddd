"""Video of one's own."""

"""HOI4D: its segmented actions, and the hands that were fitted to its pictures."""

"""What a training will take, before anything is spent on it: memory by part, work, data, hours."""

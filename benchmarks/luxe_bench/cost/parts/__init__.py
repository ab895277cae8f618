"""The parts of a run; each starts the servers that it needs and returns its figures."""

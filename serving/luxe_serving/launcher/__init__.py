"""One tritonserver on this machine: start, load, watch, drain, stop. Not part of what runs inside it."""

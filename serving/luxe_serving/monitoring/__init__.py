"""What is counted, and how Triton hears of it."""

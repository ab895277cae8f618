"""What only GPUs need: fp16 graphs, TensorRT plans and their profiles, Triton's settings, and a check by hand."""

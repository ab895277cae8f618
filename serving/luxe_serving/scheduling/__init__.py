"""Which texts run together, and when; knows neither texts nor Triton."""

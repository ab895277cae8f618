"""When to try again, where not to, and how much: pure, with the time and chance handed in."""

__all__: list[str] = []

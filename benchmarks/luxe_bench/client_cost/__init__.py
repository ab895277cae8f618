"""`luxe bench client`: what our clients add to a call, against tritonclient written by hand.

    calls   fake (a process) ◄── caller (a process a way) ─► CPU seconds of its own     sync, asyncio; 1 and 8 callers
    stream  luxe's server    ◄── caller (a process a way) ─► texts a second             iter_classify, 32 callers

Figures are compared only where they were measured in turn, in the same round, on the same texts.
"""

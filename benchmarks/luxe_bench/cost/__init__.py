"""`luxe bench cost`: what an answer costs, against the engine alone and against what one would write instead.

    workload ─► load ──► generator (a process) ──► a server ──► answers ─┐
                                                                         ├─► reference: is it the answer to this text?
                reference ──► engine (a process) ──► scores ─────────────┘
    parts: ratio, latency, overload, memory, cache, neighbours ─► targets ─► record, picture, show

Numbers are compared only where they were measured in turn, in the same run, on the same texts.
"""

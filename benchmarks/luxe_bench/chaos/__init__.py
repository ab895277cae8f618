"""`luxe bench chaos`: callers on a schedule, while the servers are killed, paused, restarted and updated.

    known: what each text's answer is ─┐
    load ──► caller (a process): luxe_client ──► fleet: three `luxe serve` ◄── faults, one phase after the other
                 │ calls                              │ events
                 └──────────► figures ─► verdict ◄────┘ ─► record, picture, show

No call may fail, whatever happens to one server at a time; how long calls take is reported.
"""

"""`luxe tune`: the settings of `[serving]` that answer most requests a second and meet the model's `[slo]`.

    knobs ─► search ─► trial: a server for each setting, loaded in turn ─► choice ─┐
               ▲                                                                   │ the next knob, the final check
               └───────────────────────────────────────────────────────────────────┴─► edit, write ─► catalog/NAME.toml

`knobs`, `choice`, `search` and `edit` know neither servers nor files.
"""

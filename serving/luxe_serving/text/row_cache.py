"""What was computed of a row before, the least recently used forgotten first.

Triton's own response cache is not used: its key leaves out which outputs a request asks for, and its entry holds only
those, so one caller who asks for less takes outputs away from the others (docs/decisions.md). This one knows rows, so
that a list of texts finds those of its texts that are known. It lives and dies with one version of a model.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from luxe_serving.text.encoded import Encoded
from luxe_serving.text.questions import Row

__all__ = ["RowCache"]

_ENTRY_BYTES = 800
_TOKEN_BYTES = 170
"""Of an Encoding that is kept; measured: resident memory of 20,000 with MiniLM's tokenizer, 6 to 104 tokens each."""


class RowCache:
    """Rows with their outputs. Safe for threads.

    Args:
        max_bytes: about what all entries may take; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._known: OrderedDict[Row, Encoded] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, row: Row) -> Encoded | None:
        """Return a row with its output, or None."""
        with self._lock:
            known = self._known.get(row)
            if known is not None:
                self._known.move_to_end(row)
            return known

    def put(self, row: Encoded, output: NDArray[np.float32]) -> None:
        """Keep a row and what the engine said of it."""
        if not self._max_bytes:
            return
        # A copy of the output, which may be a view of its whole batch; and the tokens are not needed again.
        known = dataclasses.replace(row, ids=[], type_ids=[], output=output.copy())
        with self._lock:
            old = self._known.pop(row.text, None)
            self._bytes += _bytes(known) - (_bytes(old) if old else 0)
            self._known[row.text] = known
            while self._bytes > self._max_bytes:
                self._bytes -= _bytes(self._known.popitem(last=False)[1])


def _bytes(row: Encoded) -> int:
    assert row.output is not None
    text = len(row.text) if isinstance(row.text, str) else sum(map(len, row.text))
    tokens = 0 if row.encoding is None else len(row.encoding)
    return _ENTRY_BYTES + text + _TOKEN_BYTES * tokens + row.output.nbytes

"""feature-extraction. For N texts and vectors of D numbers:

in   text        BYTES [N, 1]
out  embeddings  FP32  [N, D]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from luxe_client._wire.tensors import Reading, tensors

__all__ = ["cosines", "embeddings"]


def embeddings(request: Any, response: Any, *, address: str) -> NDArray[np.float32]:
    """Return one vector a text, in order. [N, D]

    Raises:
        ProtocolError: the response is not an answer to this request.
    """
    count = int(request.inputs[0].shape[0])
    with Reading(request, response, address=address, what="feature-extraction"):
        vectors: NDArray[np.float32] = tensors(response, {"embeddings": "FP32"})["embeddings"].array()
        if len(vectors) != count or not vectors.shape[1] or not np.isfinite(vectors).all():
            raise ValueError(f"embeddings is {list(vectors.shape)} for {count} texts, or no numbers")
        return vectors


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each vector of ``left`` with each of ``right``. [N, D], [M, D] → [N, M]

    A vector of length 0 has a cosine of 0 with all.
    """
    result: NDArray[np.float32] = (_unit(left) @ _unit(right).T).clip(-1, 1)
    return result


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit

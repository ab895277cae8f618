"""What a model is measured on: one evaluation per task, over the test split of its data.

load(entry, folder, source) ─► Evaluation: rows for the engine, and pure functions over their answers
tokenize(entry, tokenizer, rows) ─► token ids, cut as the server cuts them
calibration_rows(entry, folder, count) ─► rows of the training split, for static quantisation
"""

from __future__ import annotations

from luxe_export.evaluation._base import Bin, Evaluation, Outputs, Row
from luxe_export.evaluation._calibration import calibration_rows
from luxe_export.evaluation._load import Hints, load
from luxe_export.evaluation._tokens import tokenize

__all__ = ["Bin", "Evaluation", "Hints", "Outputs", "Row", "calibration_rows", "load", "tokenize"]

"""A text-classification with luxe's tensors, for servers that are not luxe's. Runs in their environments."""

LABELS = ["long", "short"]


def answer(texts):
    """Return name, datatype, shape and values of each output for some texts."""
    n = len(texts)
    scores = [[len(text) / (len(text) + 10), 10 / (len(text) + 10)] for text in texts]
    return [
        ("scores", "FP32", [n, 2], [score for row in scores for score in row]),
        ("labels", "BYTES", [n, 2], LABELS * n),
        ("needs_review", "BOOL", [n, 1], ["?" in text for text in texts]),
        ("truncated", "BOOL", [n, 1], [len(text) > 100 for text in texts]),
    ]

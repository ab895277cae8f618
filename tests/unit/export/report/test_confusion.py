"""The report's tables of confusions: shares, what moved, and labels folded when they are many."""

from luxe_export.report.confusion import confusion


def test_confusions_have_shares_and_say_what_moved():
    found = confusion(["spam", "ham"], [[40, 2], [3, 55]], [[41, 1], [4, 54]])
    assert (found.before.right, found.after.right, found.texts, found.folded) == (95, 95, 100, 0)
    assert [[cell.percent for cell in row] for row in found.before.rows] == [[95, 5], [5, 95]]
    assert all(cell.moved for row in found.after.rows for cell in row)
    assert not any(cell.moved for row in found.before.rows for cell in row)
    assert [(m.truth, m.answer, m.before, m.after, m.better) for m in found.moves] == [
        ("spam", "spam", 40, 41, True),
        ("spam", "ham", 2, 1, True),
        ("ham", "spam", 3, 4, False),
        ("ham", "ham", 55, 54, False),
    ]


def test_many_labels_are_folded_and_no_text_is_lost():
    many = 50
    counts = [[10 if i == j else 0 for j in range(many)] for i in range(many)]
    counts[48][49] = 7
    found = confusion(None, counts, counts)
    assert len(found.labels) == 20
    assert found.labels[-1] == "31 others"
    assert {"48", "49"} <= set(found.labels)
    assert sum(cell.count for row in found.after.rows for cell in row) == found.texts == 507
    assert found.moves == ()


def test_a_label_without_texts_has_no_share():
    assert confusion(None, [[0, 0], [1, 1]], None).before.rows[0][0].percent == 0

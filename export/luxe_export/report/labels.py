"""Where the labels of a scatter plot go, so that none lies on another or on a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

__all__ = ["Box", "Point", "line", "place"]

Point: TypeAlias = "tuple[float, float]"

_DISTANCES = (7.0, 14.0, 24.0, 36.0, 52.0, 72.0, 96.0, 128.0, 160.0)
_DIRECTIONS = 24
_LINE_FROM = 10.0
"""A label further from its point than this has a line to it."""


class Box(NamedTuple):
    """A rectangle in points; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0

    def holds(self, point: Point) -> bool:
        """Return whether a point is within."""
        return self.left <= point[0] <= self.right and self.bottom <= point[1] <= self.top

    def nearest(self, point: Point) -> Point:
        """Return the place in the rectangle that is nearest to a point."""
        return min(max(point[0], self.left), self.right), min(max(point[1], self.bottom), self.top)


def place(
    points: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    frame: Box,
) -> list[Box]:
    """Return a box for the label of each point, within ``frame`` where it can be.

    The first label chooses first. Covering another label or a point costs most, then an obstacle, then distance.

    Args:
        points: in points, as everything here.
        sizes: of the labels, width and height.
        obstacles: what had better not be covered, such as error bars.
    """
    marks = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    placed: list[Box] = []
    for point, size in zip(points, sizes, strict=True):
        others = list(zip(points, placed, strict=False))

        def cost(box: Box, point: Point = point, others: Sequence[tuple[Point, Box]] = others) -> float:
            return _cost(box, point, others, marks, obstacles, frame)

        choices = [_around(point, size, distance, turn) for distance in _DISTANCES for turn in range(_DIRECTIONS)]
        placed.append(min(choices, key=cost))
    return placed


def line(point: Point, box: Box) -> tuple[Point, Point] | None:
    """Return the line from a point to its label; None when they are near each other."""
    end = box.nearest(point)
    return (point, end) if math.dist(point, end) > _LINE_FROM else None


def _around(point: Point, size: tuple[float, float], distance: float, turn: int) -> Box:
    angle = 2 * math.pi * turn / _DIRECTIONS
    x = point[0] + math.cos(angle) * (distance + size[0] / 2)
    y = point[1] + math.sin(angle) * (distance + size[1] / 2)
    return Box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)


def _cost(
    box: Box,
    point: Point,
    others: Sequence[tuple[Point, Box]],
    marks: Sequence[Box],
    obstacles: Sequence[Box],
    frame: Box,
) -> float:
    outside = (box.right - box.left) * (box.top - box.bottom) - box.overlap(frame)
    covered = sum(box.overlap(other) for _, other in others) + sum(box.overlap(mark) for mark in marks)
    own = line(point, box)
    crossed = sum(_crosses(own, other) + _crosses(line(start, other), box) for start, other in others)
    touched = sum(_crosses(own, mark) for mark in marks if not mark.holds(point))
    hidden = sum(box.overlap(other) for other in obstacles)
    return 100 * (covered + outside) + 300 * crossed + 100 * touched + hidden + math.dist(box.nearest(point), point)


def _crosses(line: tuple[Point, Point] | None, box: Box) -> bool:
    """Return whether a line meets a box, looked at in twenty places."""
    if line is None:
        return False
    (x, y), (to_x, to_y) = line
    return any(box.holds((x + (to_x - x) * i / 20, y + (to_y - y) * i / 20)) for i in range(1, 20))

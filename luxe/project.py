"""Where things lie: the folders of one luxe project."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from luxe.errors import UserError

__all__ = ["Project"]


@dataclasses.dataclass(frozen=True)
class Project:
    """The folders of a project, all below ``root``."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> Project:
        """Return the project at ``root``.

        Raises:
            UserError: ``root`` holds no ``catalog`` folder.
        """
        project = cls(root.resolve())
        if not project.catalog.is_dir():
            raise UserError(f"no catalogue in {root}: run luxe where the folder `catalog/` is, or pass --root")
        return project

    @property
    def catalog(self) -> Path:
        return self.root / "catalog"

    @property
    def repository(self) -> Path:
        return self.root / "model_repository"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def bench_results(self) -> Path:
        return self.root / "benchmarks" / "results"

    def data(self, model: str) -> Path:
        return self.root / "data" / model

    def checkpoint(self, model: str) -> Path:
        return self.root / "checkpoints" / model

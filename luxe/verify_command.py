"""`luxe verify`: print what a repository holds and what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from luxe import access, signing
from luxe.console import console, output, table
from luxe.errors import Rejected, UserError
from luxe.project import Project
from luxe.verify import Report, verify

__all__ = ["show"]


def show(project: Project, model: str | None, *, key: Path | None, as_json: bool) -> None:
    """Check the repository, or one model of it, and print the result.

    Raises:
        UserError: the repository or the key cannot be read, or the model is not in it.
        Rejected: something is not as it was published; every finding is printed.
    """
    if not project.repository.is_dir():
        raise UserError(f"nothing is published in {project.repository}: run `luxe export NAME` first")
    public = None if key is None else signing.public_key(key)
    with console.status("verifying"), access.reading(project.repository):
        report = verify(project.repository, key=public, model=model)
    if as_json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        _print(report, checked=key is not None)
    if report.findings:
        count = len(report.findings)
        raise Rejected(f"{project.repository}: {count} finding{'s' if count > 1 else ''}")


def _print(report: Report, *, checked: bool) -> None:
    rows = table("model", ">version", ">files", ">MB", "signed", "rollback of", "verdict")
    for v in report.versions:
        inside = (f"{v.model}/{v.version}/", f"{v.model}-engine/{v.version}/")
        bad = any(f"{finding.path}/".startswith(inside) for finding in report.findings)
        signed = ("yes" if checked else "not checked") if v.signed else "no"
        size = f"{v.size / 1e6:.1f}"
        rollback = str(v.rollback_of or "-")
        rows.add_row(
            v.model, str(v.version), str(v.files), size, signed, rollback, "[red]fails[/]" if bad else "intact"
        )
    output.print(rows)
    for finding in report.findings:
        # Not through rich: a file's name may look like its markup.
        print(finding.line)

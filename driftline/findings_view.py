"""What a doctor found, on the terminal or for scripts."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import NoReturn

import click

from schemas.findings import Finding

__all__ = ["tell_and_exit"]


def tell_and_exit(findings: Iterable[Finding], *, as_json: bool) -> NoReturn:
    """Tell each finding as soon as it is there, JSON at the end; exit 1 if anything is wrong."""
    told = []
    for finding in findings:
        told.append(finding)
        if not as_json:
            click.echo(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in told], indent=2))
    sys.exit(0 if all(finding.well for finding in told) else 1)

"""Runs the tests on all cores with branch coverage, theirs included: `python -m tests`."""

from __future__ import annotations

import os
import subprocess
import sys

WORKERS = str(os.cpu_count() or 1)


def main() -> int:
    """The exit code of the first step that failed."""
    steps = (
        ["coverage", "run", "--parallel-mode", "-m", "pytest", "-q", "-n", WORKERS, *sys.argv[1:]],
        ["coverage", "combine", "--quiet"],
        ["coverage", "report"],
    )
    return next((code for step in steps if (code := subprocess.call([sys.executable, "-m", *step]))), 0)


if __name__ == "__main__":
    sys.exit(main())

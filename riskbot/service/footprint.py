"""The memory of a process that runs for months: when it is looked through, and that it is given back."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

ARENA_MAX, MMAP_THRESHOLD = -8, -3
"""Parameters of glibc's mallopt(3)."""
LARGE = 128 * 1024
"""Bytes: glibc's own first limit."""


def keep_small() -> None:
    """Settle how memory is used, before threads begin. On another C library than glibc all stays as it is there."""
    # The usual 700 have the collector walk through the state of all accounts all the time; polls wait for it. The
    # other two stay as they are, so that its rarest walk comes in the end, after hours; see `tidy`.
    gc.set_threshold(10_000, 10, 10)
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(ARENA_MAX, 1)  # else each thread keeps an arena of its own
        mallopt(MMAP_THRESHOLD, LARGE)  # else one large answer raises it, and the heap is not given back any more


def tidy() -> None:
    """Free what has become superfluous. To be called where much has, once: all waits meanwhile, a tenth of a second."""
    gc.collect()

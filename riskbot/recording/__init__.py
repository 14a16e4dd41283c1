"""The recording of an account: all that its alerts were made of, so that it can be judged again. Pure.

entries.py: what is written down. wire.py: how it is written. encoder.py with tables.py, decoder.py: there and back.
"""

from __future__ import annotations

from riskbot.recording.decoder import decode
from riskbot.recording.encoder import Encoder
from riskbot.recording.entries import (
    Adopted,
    Again,
    BadRecording,
    Batch,
    Checkpoint,
    Drained,
    Entry,
    Learnt,
    Look,
    Shifted,
    Started,
    Taken,
    moment_of,
    points_only,
)

__all__ = [
    "Adopted",
    "Again",
    "BadRecording",
    "Batch",
    "Checkpoint",
    "Drained",
    "Encoder",
    "Entry",
    "Learnt",
    "Look",
    "Shifted",
    "Started",
    "Taken",
    "decode",
    "moment_of",
    "points_only",
]

"""What a rule is: a pydantic class per kind that measures, and the ladder of tiers that its numbers climb.

A rule only MEASURES: `readings(view)` gives numbers. The engine JUDGES them by the ladder. A plugin's rule is
written exactly as the stock ones in `riskbot/builtin/`.
"""

from riskbot.rules.asking import MOST_READINGS, Measured, is_calm, keeps, longest_window, measure, no_data
from riskbot.rules.base import REPEATS, Labels, Repeat, Rule
from riskbot.rules.ladder import Flap, Ladder, Rung, climb
from riskbot.rules.telling import stumbles, tell
from riskbot.rules.values import (
    Above,
    AmountPath,
    Below,
    Currency,
    Duration,
    Label,
    LevelPath,
    Name,
    Number,
    Share,
    TierName,
    Worse,
    ordered,
    parse_duration,
    parse_number,
    suggest,
)

__all__ = [
    "MOST_READINGS",
    "REPEATS",
    "Above",
    "AmountPath",
    "Below",
    "Currency",
    "Duration",
    "Flap",
    "Label",
    "Labels",
    "Ladder",
    "LevelPath",
    "Measured",
    "Name",
    "Number",
    "Repeat",
    "Rule",
    "Rung",
    "Share",
    "TierName",
    "Worse",
    "climb",
    "is_calm",
    "keeps",
    "longest_window",
    "measure",
    "no_data",
    "ordered",
    "parse_duration",
    "parse_number",
    "stumbles",
    "suggest",
    "tell",
]

"""rules.toml: accounts, receivers, store, web and rules, validated together; every mistake with its line.

A value may refer to a secret instead of holding it; all of them are filled in before validation:

- `${NAME}`, anywhere in a text and more than once: an environment variable.
- `file:PATH`, the whole text: a file's content without its last line break; a relative path starts at the rules file.
- `credential:NAME`, the whole text: the same of systemd's LoadCredential.

`include = ["rules.d/*.toml"]` adds the rules and receivers of other files.

What was filled in is not looked at again. There is no escape: a secret that has `${` in it belongs in a variable or a
file. No message repeats a value, unless it is nearly a word that riskbot knows.
"""

from __future__ import annotations

from riskbot.settings.files import Sources, Stamps, document
from riskbot.settings.loading import find_db, find_plugins, load
from riskbot.settings.model import (
    OKX,
    SELF,
    AccountSettings,
    Config,
    ConfigError,
    DailySettings,
    HeartbeatSettings,
    Problem,
    ReceiverSettings,
    StartSettings,
    StoreSettings,
    WebSettings,
)
from riskbot.settings.needs import Needs, needs, referred

__all__ = [
    "OKX",
    "SELF",
    "AccountSettings",
    "Config",
    "ConfigError",
    "DailySettings",
    "HeartbeatSettings",
    "Needs",
    "Problem",
    "ReceiverSettings",
    "Sources",
    "Stamps",
    "StartSettings",
    "StoreSettings",
    "WebSettings",
    "document",
    "find_db",
    "find_plugins",
    "load",
    "needs",
    "referred",
]

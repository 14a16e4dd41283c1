"""What the tests of rules files share: the stock kinds, the keys that the example asks for, the least of a file."""

from __future__ import annotations

from pathlib import Path

from riskbot import plugins

KINDS = plugins.kinds(plugins.manager())
EXAMPLE = Path(__file__).parents[1] / "rules.example.toml"
KEYS = {
    "OKX_API_KEY": "key-of-okx",
    "OKX_API_SECRET": "secret-of-okx",
    "OKX_API_PASSPHRASE": "passphrase-of-okx",
    "RISKBOT_PHONE": "json://localhost",
}
"""Environment variables."""

MAIN_AND_PHONE = """[[accounts]]
name = "main"
api_key = "key"
api_secret = "secret"
passphrase = "phrase"

[receivers.phone]
url = "json://localhost"
"""
DEBT = """[[rules]]
name = "debt"
kind = "change"
field = "details.liab"
rises_by = { warning = "10%" }
over = "1h"
"""

"""What was set up before: the rules file and the env file as they are, to begin from."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Container, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from riskbot.settings import Sources
from riskbot.settings.model import named, tables, texts
from riskbot.settings.secrets import Secrets
from riskbot.setup import env

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


class Known:
    """text, env_text: the two files; "": there is none. Raises ConfigError, or OSError, for one that can't be read."""

    def __init__(self, path: Path, env_path: Path, environ: Mapping[str, str] | None = None) -> None:
        self.path, self.env_path = path, env_path
        self.env_text = env_path.read_text(encoding="utf-8") if env_path.exists() else ""
        self.in_file = env.parse(self.env_text)
        self.env = {**self.in_file, **(os.environ if environ is None else environ)}
        """Whoever gives a variable by hand means it."""
        self.text, self._document, self._main = "", dict[str, Any](), dict[str, Any]()
        if path.exists():
            sources = Sources(path, self.env)
            self.text, self._main, self._document = sources.main.text, sources.main.document, sources.raw()

    def account(self, name: str) -> dict[str, Any]:
        """The entry of that account as it is written; empty: there is none."""
        return next((entry for _, entry in tables(self._document, "accounts") if entry.get("name") == name), {})

    def accounts(self) -> list[str]:
        """The names of all."""
        return [str(entry["name"]) for _, entry in tables(self._document, "accounts") if "name" in entry]

    def receivers(self) -> dict[str, str]:
        """The URL of each, filled in; "": that can't be done. Those that only the env file has come last."""
        written = named(self._document, "receivers")
        found = {name: self.value(item.get("url")) for name, item in written.items() if isinstance(item, dict)}
        used = {variable(name) for name in found} | {
            reference for item in written.values() for reference in _used(item)
        }
        prefix = PREFIX
        begun = {name: url for name, url in self.in_file.items() if name.startswith(prefix) and name not in used}
        return found | {
            name.removeprefix(prefix).lower(): url for name, url in begun.items() if "://" in url and name != HEARTBEAT
        }

    def written(self, receiver: str) -> str:
        """Its URL as it is written, or ""."""
        item = named(self._document, "receivers").get(receiver)
        url = item.get("url") if isinstance(item, dict) else None
        return url if isinstance(url, str) else ""

    def lacks(self, receiver: str) -> bool:
        """Is it to be written: as it stands in no file yet, or as its secret stands in the main one?"""
        written, own = self.written(receiver), named(self._main, "receivers")
        return not written or (receiver in own and not Secrets.refers(written))

    def rules(self) -> list[dict[str, Any]]:
        """The entries of all as they are written."""
        return [entry for _, entry in tables(self._document, "rules")]

    def owns(self, rule: str) -> bool:
        """Does that rule stand in the main file?"""
        return any(entry.get("name") == rule for _, entry in tables(self._main, "rules"))

    def written_heartbeat(self) -> object:
        """The same as it is written."""
        return named(self._document, "heartbeat").get("url")

    def heartbeat(self) -> str:
        """Its URL, or ""."""
        return self.value(self.written_heartbeat()) or self.env.get(HEARTBEAT, "")

    def free(self, wanted: str, written: object = "", taken: Container[str] = ()) -> str:
        """That variable, or one with a number if another place of the rules file refers to it: whose it is keeps it.

        written: what stands at the place that is meant. taken: variables that are another's, too.
        """
        used = Counter(name for word in texts(self._document) for name in _VARIABLE.findall(word))
        used.subtract(_VARIABLE.findall(written) if isinstance(written, str) else ())
        names = (f"{wanted}{number}" if number > 1 else wanted for number in count(1))
        return next(name for name in names if used[name] < 1 and name not in taken)

    def value(self, written: object) -> str:
        """A secret as it is, from wherever it is; "": it is not there."""
        if not isinstance(written, str):
            return ""
        secrets = Secrets(self.path.parent, self.env)
        found = secrets.fill(written)
        return "" if secrets.problems else str(found)


PREFIX = "RISKBOT_"
"""With what the variables of receivers begin."""
HEARTBEAT = "RISKBOT_HEARTBEAT"
"""The variable that holds the heartbeat's URL."""


def variable(receiver: str) -> str:
    """The name of the variable that holds a receiver's URL: `RISKBOT_PHONE`."""
    return f"{PREFIX}{_word(receiver) or 'RECEIVER'}"


def credential(account: str, key: str) -> str:
    """The same of a part of an account's key: `OKX_API_SECRET`, for other accounts than main `OKX_API_SECRET_ALT`."""
    word = {"api_key": "OKX_API_KEY", "api_secret": "OKX_API_SECRET", "passphrase": "OKX_API_PASSPHRASE"}[key]
    return word if account == "main" else "_".join(filter(None, (word, _word(account))))


def named_variable(written: object) -> str:
    """The variable, if the value is nothing but one: `${NAME}`."""
    found = _VARIABLE.fullmatch(written) if isinstance(written, str) else None
    return found[1] if found else ""


def _word(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")


def _used(item: object) -> list[str]:
    url = item.get("url") if isinstance(item, dict) else None
    return _VARIABLE.findall(url) if isinstance(url, str) else []

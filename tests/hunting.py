"""Planted secrets, and finding what is left of one in whatever was written, said or sent."""

from __future__ import annotations

import base64
import html
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

PART = 8
"""Signs of a secret, or of a form of it, that would be recognised."""
HEX_PART = 16
"""As many bytes in hex; shorter ones are met by chance."""

PLANTED = {
    "api_key": "5f0c7d1e-93ab-4d62-b8e4-7c21aa90e35d",
    "api_secret": "9A41F7C3D05E8B62471EBD9C03F8A65E",
    "passphrase": 'q7%Zr/"w+K2&x9\\Vd',
    "credential": "T4-cred:Hm8/zQ2vLp0&sX",
    "telegram": "731905284:AAEw3kQz9LmXv-7TbYcD_2fRgHjN5pUo1Sx",
    "slack": "Yk8RzJ3mWq0NvTb6XcGd4HpL",
    "smtp": "pW7$mtJ+x/4Gh=Lk2Z",
    "query": "wq0+Zt8/fJ3=kYb5&Nc1",
    "header": "hd-K3vXo9Qe7RmUa2Zi6",
    "basic": "bA5:ic/8pJ@2zWq6N",
    "web": "wtk-4Gz0QmB7nYxE9rUs3V",
    "heartbeat": "e84b19d6-0c3f-4a57-92fe-d1b6a7035c48",
    "option": "opt 6Hx\"Tz2Lw'9KvQe4",
    "notifier": "nfy8Jq3ZxW5tLr0BmCe1",
    "rule": "rul-Vb2Nf9Xo6KpZs1Da",
    "environment": "env-U7gYw3Ek8QzMh5Tn",
}
"""What nobody may see, by where it belongs. All of it by chance, with signs that are written differently in places."""

TELEGRAM_CHAT = "987654321"


def coded(word: bytes) -> set[bytes]:
    """What is left of it in base64, wherever in a text it stands: the signs that nothing but it decides."""
    found = set()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + word)
        sure = whole[-(-before * 8 // 6) : (before + len(word)) * 8 // 6]
        found |= {sure, sure.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def forms(secret: str) -> set[bytes]:
    """As it may be written: raw, in URLs, JSON, HTML, a `repr`, base64."""
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    texts |= {json.dumps(secret)[1:-1], secret.replace("/", "\\/"), repr(secret)[1:-1], json.dumps(secret)[1:-1] * 1}
    texts |= {json.dumps(json.dumps(secret)[1:-1])[1:-1], quote(quote(secret, safe=""), safe="")}
    return {text.encode() for text in texts} | coded(secret.encode())


def _windows(text: bytes, length: int) -> Iterator[bytes]:
    for i in range(max(1, len(text) - length + 1)):
        yield text[i : i + length]


class Hunter:
    """Finds any eight signs of any secret, in any of its forms and in any case."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._parts = {
            part.lower(): name
            for name, secret in secrets.items()
            for form in forms(secret)
            for part in _windows(form, PART)
        }
        self._hex = {
            part: name
            for name, secret in secrets.items()
            for part in _windows(secret.encode().hex().encode(), HEX_PART)
        }

    def tracks(self, written: bytes | str) -> dict[str, str]:
        """By the secret's name: where the first trace of it stands."""
        data = written.encode("utf-8", "surrogateescape") if isinstance(written, str) else written
        low, found = data.lower(), dict[str, str]()
        for parts, length in ((self._parts, PART), (self._hex, HEX_PART)):
            for i in range(len(low) - length + 1):
                name = parts.get(low[i : i + length])
                if name and name not in found:
                    found[name] = repr(data[max(0, i - 60) : i + 40])
        return found


def all_tracks(hunter: Hunter, evidence: Iterable[tuple[str, bytes | str]]) -> list[str]:
    """A line for each place where something was found."""
    return [f"{name} in {where}: {around}" for where, what in evidence for name, around in hunter.tracks(what).items()]


def database(db: Path) -> Iterator[tuple[str, bytes | str]]:
    """Its files as they lie there, and each value of each table, unpacked."""
    for file in sorted(db.parent.glob(f"{db.name}*")):
        yield f"the file {file.name}", file.read_bytes()
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as opened:
        for (table,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            values = [value for row in opened.execute(f'SELECT * FROM "{table}"') for value in row]  # noqa: S608
            yield f"the table {table}", b"\n".join(map(_unpacked, values))


def _unpacked(value: object) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    for found in re.finditer(rb"\x78[\x01\x9c\xda]", data[:8]):
        with suppress(zlib.error):
            return data + zlib.decompressobj().decompress(data[found.start() :])
    return data

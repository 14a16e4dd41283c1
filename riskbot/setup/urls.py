"""Receivers' URLs made of what people know: a bot, a webhook's address, a mailbox."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

SLACK = re.compile(r"https://hooks\.slack\.com/services/([A-Z0-9]+)/([A-Z0-9]+)/([A-Za-z0-9]+)/?", re.ASCII)


def slack(webhook: str) -> str:
    """Of an incoming webhook. Raises ValueError."""
    parts = SLACK.fullmatch(webhook.strip())
    if not parts:
        raise ValueError("not an incoming webhook: it looks like https://hooks.slack.com/services/T…/B…/…")
    return f"slack://{'/'.join(parts.groups())}/"


def mail(address: str, password: str, smtp: str = "", to: str = "") -> str:
    """Of a mailbox that riskbot may send from. smtp: its server, where Apprise can't know it. Raises ValueError."""
    user, at, domain = address.strip().partition("@")
    if not (user and at and re.fullmatch(r"[\w.-]+\.[\w-]+", domain)):
        raise ValueError("not an e-mail address: write name@example.com")
    # Without a server of its own the domain is one of a provider that Apprise knows; it has its own idea of the login.
    options = {"smtp": smtp, "user": address.strip() if smtp else "", "to": to}
    query = urlencode({key: value for key, value in options.items() if value})
    return f"mailtos://{quote(user, safe='')}:{quote(password, safe='')}@{domain}" + (f"?{query}" if query else "")


def service(url: str) -> str:
    """What kind of receiver it is, in a word that names no secret: `telegram`."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    return {"tgram": "telegram", "mailto": "e-mail", "mailtos": "e-mail"}.get(scheme, scheme)

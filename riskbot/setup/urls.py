"""Receivers' URLs made of what people know: a bot, a webhook's address, a mailbox."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

SLACK = re.compile(r"https://hooks\.slack\.com/services/([A-Z0-9]+)/([A-Z0-9]+)/([A-Za-z0-9]+)/?", re.ASCII)

SMTPS = "465"
"""The port where all is encrypted from the first byte; on others that begins with STARTTLS."""


def slack(webhook: str) -> str:
    """Of an incoming webhook. Raises ValueError."""
    parts = SLACK.fullmatch(webhook.strip())
    if not parts:
        raise ValueError("not an incoming webhook: it looks like https://hooks.slack.com/services/T…/B…/…")
    return f"slack://{'/'.join(parts.groups())}/"


def mailbox(address: str) -> tuple[str, str]:
    """The user and the domain of an e-mail address. Raises ValueError."""
    user, at, domain = address.strip().partition("@")
    if not (user and at and re.fullmatch(r"[\w.-]+\.[\w-]+", domain)):
        raise ValueError("not an e-mail address: write name@example.com")
    return user, domain


def smtp_server(smtp: str) -> tuple[str, str]:
    """Host and port of `smtp.example.com:465`; "": not given. Raises ValueError."""
    host, colon, port = smtp.strip().partition(":")
    if smtp.strip() and not (re.fullmatch(r"[\w.-]+", host) and re.fullmatch(r"[0-9]{1,5}" if colon else "", port)):
        raise ValueError("not a mail server: write smtp.example.com, or smtp.example.com:465")
    return host, port


def mail(address: str, password: str, smtp: str = "", to: str = "") -> str:
    """Of a mailbox that riskbot may send from. smtp: its server, where Apprise can't know it. Raises ValueError."""
    user, domain = mailbox(address)
    host, port = smtp_server(smtp)
    # Without a server of its own the domain is one of a provider that Apprise knows; it has its own idea of the login.
    own = {"smtp": host, "user": address.strip() if host else "", "mode": "ssl" if port == SMTPS else ""}
    query = urlencode({key: value for key, value in {**own, "to": to}.items() if value})
    place = f"{domain}:{port}" if port else domain
    return f"mailtos://{quote(user, safe='')}:{quote(password, safe='')}@{place}" + (f"?{query}" if query else "")


def service(url: str) -> str:
    """What kind of receiver it is, in a word that names no secret: `telegram`."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    return {"tgram": "telegram", "mailto": "e-mail", "mailtos": "e-mail"}.get(scheme, scheme)

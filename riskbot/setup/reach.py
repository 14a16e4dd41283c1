"""Can a receiver's service be reached? A connection is opened and closed; nothing is sent."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from riskbot.builtin.apprise.notifier import AppriseNotifier
from riskbot.notify import Notifier

DEADLINE = 5.0
"""Seconds for the connection, encryption included."""

_OWN_HOST = frozenset({"json", "jsons", "xml", "xmls", "form", "forms", "gotify", "gotifys", "apprise", "apprises"})
"""Schemas whose URL names the host itself; those of others may hold a token in that place."""


class Address(Struct, frozen=True):
    """Where a service listens. tls: encrypted from the first byte. verify: its certificate must be right."""

    host: str
    port: int
    tls: bool
    verify: bool = True

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(notifier: Notifier) -> Address | None:
    """Where that notifier sends to, where that is known and nothing is in between."""
    if not isinstance(notifier, AppriseNotifier):
        return None
    service: Any = notifier.service
    return _mail_server(service) or _web_server(service) or _own_host(service)


async def connect(there: Address) -> str:
    """Open a connection. Gives why that fails, or ""."""
    try:
        async with asyncio.timeout(DEADLINE):
            tls = _context(there) if there.tls else None
            _, writer = await asyncio.open_connection(there.host, there.port, ssl=tls)
            writer.transport.abort()
    except TimeoutError:
        return f"no connection to {there} within {DEADLINE:g} s"
    except ssl.SSLError as error:
        return f"{there}: no encrypted connection ({error.reason or type(error).__name__})"
    except OSError as error:
        return f"{there} can't be reached ({_reason(error)})"
    return ""


def _reason(error: OSError) -> str:
    """Its own words may name an address, which was said already; a name that is not found has no other ones."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or type(error).__name__


def _context(there: Address) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not there.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _mail_server(service: Any) -> Address | None:
    host = getattr(service, "smtp_host", None)
    return Address(host, service.port, service.secure_mode == "ssl", service.verify_certificate) if host else None


def _web_server(service: Any) -> Address | None:
    """Of a service with a fixed address, unless a proxy stands before it."""
    for name in ("notify_url", "webhook_url"):
        url = getattr(service, name, None)
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts and parts.hostname and re.fullmatch(r"[a-z0-9.:-]+", parts.hostname):
            return _direct(parts.hostname, parts.port, parts.scheme == "https", service)
    return None


def _own_host(service: Any) -> Address | None:
    schema = service.secure_protocol if service.secure else service.protocol
    schemas = {schema} if isinstance(schema, str) else {*(schema or ())}
    return _direct(service.host, service.port, service.secure, service) if schemas & _OWN_HOST else None


def _direct(host: str, port: int | None, tls: bool, service: Any) -> Address | None:
    scheme = "https" if tls else "http"
    if urllib.request.getproxies().keys() & {scheme, "all"} and not urllib.request.proxy_bypass(host):
        return None
    return Address(host, port or (443 if tls else 80), tls, service.verify_certificate)

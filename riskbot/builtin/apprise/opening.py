"""From a URL to a service of Apprise, with our defaults, or what is wrong with the URL."""

from __future__ import annotations

import logging
import re
import warnings
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from riskbot.redact import Redactor
from riskbot.settings.model import LOOPBACK
from riskbot.text import cut, one_line

if TYPE_CHECKING:
    from apprise import Apprise, AppriseAsset, NotifyBase

WHY_LENGTH = 200
"""Characters of a reason at most."""

_CONNECT, _READ, _MAIL = 5.0, 10.0, 10.0
"""Seconds to connect, to wait for an answer, and for each step of SMTP. Apprise's own 4 make slow sends ambiguous."""

_MAX_GAP, _MAIL_GAP = 1.0, 0.2
"""Seconds Apprise may sleep between two messages. Its default of 5.5 would hold up an alert that gets worse."""


class BadUrl(ValueError):  # noqa: N818 - reads as what is wrong: raise BadUrl
    """An Apprise URL that cannot be used. Its text is for people and holds no part of the URL but the schema."""


def opened(url: str, redactor: Redactor, **forced: str) -> Apprise:
    """Return an Apprise object with this one service, so that it sends in the calling thread. Raises BadUrl."""
    services()
    from apprise import Apprise  # noqa: PLC0415 - costs a tenth of a second, and `riskbot --help` needs none of it

    service = _service(url, redactor, forced)
    app = Apprise(asset=service.asset)
    app.add(service)
    return app


def _service(url: str, redactor: Redactor, forced: dict[str, str]) -> NotifyBase:
    """Build the service; `from None` everywhere: the chained error of Apprise would show parts of the URL."""
    from apprise.exception import AppriseImproperlyConfigured  # noqa: PLC0415 - see opened

    try:
        service = _instance(url, forced)
    except BadUrl:
        raise
    except AppriseImproperlyConfigured as error:
        raise BadUrl(f"{schema_of(url)}://: {_reason(error, redactor)}") from None
    except Exception:  # noqa: BLE001 - what a service raises over a malformed URL is anything
        raise BadUrl(_unknown(url)) from None
    if service is None:
        raise BadUrl(_unknown(url))
    if len(service) == 0:
        raise BadUrl(f"{schema_of(url)}://: the URL names no valid receiver")
    return service


def _instance(url: str, forced: dict[str, str]) -> NotifyBase | None:
    """Build the service with our defaults, where the URL does not say otherwise; None if Apprise cannot."""
    from apprise import Apprise  # noqa: PLC0415 - see opened
    from apprise.plugins import url_to_dict  # noqa: PLC0415 - see opened

    tokens = url_to_dict(url.strip())  # type: ignore[no-untyped-call]  # apprise left it without types
    if tokens is None:
        return None
    asked = {key.lower() for key in tokens.get("qsd", ())}
    off = {f"include_{key}": False for key in ("image", "footer") if key not in asked and f"include_{key}" in tokens}
    tokens = {"overflow": "split", **tokens, **off, **forced}
    service = Apprise.instantiate(tokens, asset=_asset(asked), suppress_exceptions=False)
    if service is not None and "api" in asked and schema_of(url) == "tgram":
        service.notify_url = f"{bot_api(tokens['qsd']['api'])}/bot"  # type: ignore[attr-defined] # Telegram's own
    return None if service is None else _tuned(service, asked)


def bot_api(base: str) -> str:
    """The address of a Bot API server of one's own, without its last slash. Raises BadUrl."""
    found = re.fullmatch(
        r"(https?)://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:\d{1,5})?(/[\w./~-]*)?", base, re.ASCII | re.IGNORECASE
    )
    if not found:
        raise BadUrl("tgram://: api: write https://host, or http://127.0.0.1:8081")
    if found[1].lower() == "http" and "." in found[2] and found[2] not in LOOPBACK:
        raise BadUrl("tgram://: api: the bot's token would travel in the clear: write https://")
    return base.rstrip("/")


def _asset(asked: set[str]) -> AppriseAsset:
    """Return what all services print about us. No pictures from the web, no deadline of Apprise's own.

    That deadline would move the send to a pool shared by all receivers. Redirects are off: a POST that is redirected
    arrives as a GET at some login page, whose 200 would look like a delivery, and takes its token along.
    """
    from apprise import AppriseAsset  # noqa: PLC0415 - see opened

    icons: dict[str, Any] = {} if asked & {"image", "avatar"} else {"image_url_mask": "", "image_url_logo": ""}
    about: dict[str, Any] = {"app_id": "riskbot", "app_desc": "riskbot", "app_url": "", "http_redirects": False}
    return AppriseAsset(service_timeout=0, storage_mode="memory", **about, **icons)


def _tuned(service: NotifyBase, asked: set[str]) -> NotifyBase:
    """Set what no URL may change (our outbox repeats, and a failure is a failure), and the waiting times."""
    service.retry = 0
    service.optional = False
    mail = hasattr(service, "smtp_host")
    if "cto" not in asked:
        service.socket_connect_timeout = _MAIL if mail else _CONNECT
    if "rto" not in asked:
        service.socket_read_timeout = _READ
    service.request_rate_per_sec = min(service.request_rate_per_sec, _MAIL_GAP if mail else _MAX_GAP)
    return service


@cache
def services() -> Any:
    """Load all services of Apprise and return what knows them. Once, and without the noise that it makes.

    Nothing of the sending may reach our logs: at DEBUG it holds whole URLs. Apprise must still write it, for us.
    """
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.propagate = False
        # Without any handler logging prints warnings to stderr.
        logger.addHandler(logging.NullHandler())
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    with warnings.catch_warnings():
        # Its e-mail imports a deprecated module for the sake of PGP.
        warnings.simplefilter("ignore", DeprecationWarning)
        from apprise.manager_plugins import NotificationManager  # noqa: PLC0415 - see opened

        known: Any = NotificationManager()  # type: ignore[no-untyped-call]  # apprise left it without types
        known.load_modules()
    return known


def _reason(error: Exception, redactor: Redactor) -> str:
    """Return Apprise's reason without what it quotes in brackets: the part of the URL that it dislikes."""
    return in_short(redactor.redact(re.sub(r"\s*\([^()]*\)", "", str(error))).rstrip(" :"))


def _unknown(url: str) -> str:
    """Say why Apprise has no service for this URL."""
    schema, known = schema_of(url), services()
    if not schema:
        return "not an Apprise URL: it begins with a service, such as tgram:// or mailto://"
    if schema in known:
        off = "it needs a Python package that is not installed"
        return f"{schema}://: {'the URL is incomplete or malformed' if known[schema].enabled else off}"
    if schema in {"http", "https"}:
        return "no service knows this web address; for a webhook of your own write json:// or jsons://"
    near = [f"{name}://" for name in get_close_matches(schema, known.schemas(), n=3)]
    return f"unknown service {schema}://" + (f"; did you mean {' or '.join(near)}?" if near else "")


def schema_of(url: str) -> str:
    """Return the schema; nothing of a text that has none, or an odd one, for it may be a misplaced secret."""
    match = re.match(r"\s*([a-z][a-z0-9+.-]{1,15})://", url, re.IGNORECASE)
    return match[1].lower() if match else ""


def in_short(words: str) -> str:
    """On one line, cut. Redact before: half a secret would not be found."""
    return cut(one_line(words), WHY_LENGTH)

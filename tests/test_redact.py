from __future__ import annotations

import base64
import html
import json
import logging
import re
import sys
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.redact import RedactingFormatter, Redactor, secrets_of

SECRET = """pä$s w/ö"rd's\\&<x>"""
LETTERS = st.text(st.characters(codec="utf-8", exclude_characters="*"), max_size=12)


def basic(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        repr(SECRET),
        repr(SECRET.encode()),
        repr(json.dumps(SECRET).encode()),
        html.escape(SECRET),
        basic(SECRET),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        SECRET.upper(),
    ],
)
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    told = Redactor([SECRET]).redact(f"before {form} after")
    assert re.fullmatch(r"""before b?['"]*\*\*\*['"=]* after""", told)


def test_short_secrets_would_mangle_the_text_and_are_left() -> None:
    redactor = Redactor(["abc", ""])
    assert redactor.redact("abc is here") == "abc is here"
    assert repr(redactor) == "<Redactor of 0 forms>"


def test_a_text_without_a_secret_is_the_same() -> None:
    assert Redactor(["S3CRET"]).redact("nothing here") == "nothing here"


def test_secrets_may_be_added_later_and_twice() -> None:
    redactor = Redactor()
    redactor.add("first-one")
    before = repr(redactor)
    redactor.add("first-one")
    assert repr(redactor) == before
    redactor.add("second-one")
    assert redactor.redact("first-one, second-one") == "***, ***"


def test_overlapping_secrets_leave_no_tail() -> None:
    assert Redactor(["abcd", "cdefgh"]).redact("x abcdefgh y") == "x *** y"


def test_the_redactor_does_not_show_its_secrets() -> None:
    assert "S3CRET" not in repr(Redactor(["S3CRET"]))


@given(st.lists(LETTERS, max_size=4), st.lists(LETTERS, max_size=4))
def test_no_registered_secret_survives(secrets: list[str], rest: list[str]) -> None:
    redactor = Redactor(secrets)
    told = redactor.redact(" ".join([*rest, *secrets, *rest, "".join(secrets)]))
    assert not [secret for secret in secrets if len(secret) >= 4 and secret in told]
    assert redactor.redact(told) == told


@pytest.mark.parametrize(
    ("url", "hidden", "open_"),
    [
        ("tgram://123456789:AAbot_token/42424242/", {"123456789:AAbot_token", "AAbot_token", "42424242"}, set()),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdn/#general", {"T1JJ3T3L2", "A1BRTD4JD", "TIiajkdn", "general"}, set()),
        ("discord://WebhookID/WebhookToken?overflow=truncate", {"WebhookID", "WebhookToken"}, {"truncate"}),
        (
            "json://us%40er:pa%2Fss@example.com:8080/hook/ab",
            {"us%40er", "us@er", "pa/ss", "hook"},
            {"example.com", "ab"},
        ),
        ("jsons://127.0.0.1:8080/S3CRETPATH?+X-Auth=h3ad", {"S3CRETPATH", "h3ad"}, {"127.0.0.1:8080"}),
        ("custom://localhost:99/abcd", {"abcd"}, {"localhost:99"}),
        ("custom://[::1]:99/abcd", {"abcd"}, {"[::1]:99"}),
        (
            "mailto://me:app%20pw@gmail.com?to=you@example.com&mode=starttls",
            {"app pw", "you@example.com"},
            {"gmail.com"},
        ),
        ("json://h?token=abcd&yes=no&note=a+long+note", {"abcd", "a long note", "a+long+note"}, {"no"}),
        ("https://hooks.slack.com/services/T0001/B0002/XXXX", {"T0001", "B0002", "XXXX"}, {"hooks.slack.com"}),
        (" just-a-token ", {"just-a-token"}, set()),
    ],
)
def test_the_secret_parts_of_a_url_are_known(url: str, hidden: set[str], open_: set[str]) -> None:
    assert hidden <= secrets_of(url)
    assert not open_ & secrets_of(url)


def test_a_login_is_hidden_in_the_header_too() -> None:
    redactor = Redactor(secrets_of("json://user:pa%3Ass@127.0.0.1:1/"))
    assert redactor.redact(f"Authorization: Basic {basic('user:pa:ss')}") == "Authorization: Basic ***=="


@given(st.text())
def test_any_text_may_be_searched_for_secrets(url: str) -> None:
    assert all(len(secret) >= 4 for secret in secrets_of("x://" + url))


def test_a_traceback_is_redacted() -> None:
    def failing() -> None:
        raise ValueError("token S3CRET-TOKEN")

    formatter = RedactingFormatter(Redactor(["S3CRET-TOKEN"]), "%(levelname)s %(message)s")
    try:
        failing()
    except ValueError:
        trace = sys.exc_info()
    record = logging.LogRecord("riskbot", logging.ERROR, "x.py", 1, "no %s", ("S3CRET-TOKEN",), trace)
    told = formatter.format(record)
    assert told.startswith("ERROR no ***\nTraceback")
    assert "S3CRET" not in told


def test_a_login_in_a_header_is_latin_1_and_slashes_may_be_escaped() -> None:
    redactor = Redactor(["bob:pa/ss+w\u00f6rd"])
    header = b64encode("bob:pa/ss+w\u00f6rd".encode("latin-1")).decode().rstrip("=")

    assert redactor.redact(f"Authorization: Basic {header}") == "Authorization: Basic ***"
    assert redactor.redact('{"login": "bob:pa\\/ss+w\u00f6rd"}') == '{"login": "***"}'


def test_parts_are_found_behind_signs_that_are_longer_in_lower_case() -> None:
    token = "731905284:AAEw3kQz9LmXv-7TbYcD_2fRgHjN5pUo1Sx"
    assert Redactor([token]).redact(f"İİ {token[9:20]}") == "İİ ***"

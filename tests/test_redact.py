from __future__ import annotations

import base64
import html
import json
import logging
import re
import string
import sys
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from unicodedata import normalize
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from riskbot.cli.logs import RedactingFormatter
from riskbot.escapes import plainly
from riskbot.redact import MASK, SHORTEST, Redactor, secrets_in, secrets_of

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
    assert repr(redactor) == "<Redactor of 0 secrets>"


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


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("MY_TOKEN", "abcdefgh-1234", {"abcdefgh-1234"}),
        ("SIGNING_KEY", "abcdefgh-1234", {"abcdefgh-1234"}),
        ("SENTRY_DSN", "https://abc@sentry.io/1", {"https://abc@sentry.io/1"}),
        ("KEYBOARD_LAYOUT", "abcdefgh-1234", set()),
        ("MONKEYS", "abcdefgh-1234", set()),
        ("KEY_FILE", "/etc/keys/my-key", set()),
        ("MY_TOKEN", "short", set()),
        ("DATABASE_URL", "postgres://me:p%40ss-w@db:5432/x", {"me:p%40ss-w", "p%40ss-w", "p@ss-w"}),
        ("HTTPS_PROXY", "http://me:p@ss@proxy:3128/x?y=z@w", {"me:p@ss", "p@ss"}),
        ("HOMEPAGE", "https://example.org/a:b@c", set()),
        ("ABC", "https://me@example.org/", set()),
    ],
)
def test_the_secrets_of_the_environment_are_known(name: str, value: str, hidden: set[str]) -> None:
    assert secrets_in({"HOME": "/root", name: value}) == hidden


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


# In whatever disguise.

TOKEN = "731905284:AAEw3kQz9LmXv-7TbYcD_2fRgHjN5pUo1Sx"
SIGNS = st.characters(codec="utf-8", exclude_characters="*")
SECRETS = st.one_of(
    st.text(SIGNS, min_size=4, max_size=20),
    st.text(string.printable[:94].replace("*", ""), min_size=4, max_size=24),
    st.text("aB1%&;\\\\u00\"'/+ ", min_size=4, max_size=12),
)


def as_go(text: str) -> str:
    """JSON that can stand in HTML, as Go, Rails and others write it."""
    return json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def in_numbers(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def each_in_url(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def each_in_json(text: str) -> str:
    return "".join(f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else json.dumps(sign)[1:-1] for sign in text)


def each_in_latin_1(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("latin-1"))


def each_in_python(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def often(text: str) -> str:
    """In a URL in a URL in a URL…"""
    for _ in range(5):
        text = quote(text, safe="")
    return text


def by_yarl(text: str) -> str:
    """Only what can't stand in a path, as aiohttp shows its URLs."""
    return quote(text, safe=string.punctuation.replace('"', "").replace("\\", "").replace("%", "") + " ")


WAYS: list[Callable[[str], str]] = [
    lambda text: text,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    lambda text: quote(json.dumps(text)[1:-1]),
    lambda text: html.escape(json.dumps(text)[1:-1]),
    lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: repr(text.encode())[2:-1],
    html.escape,
    as_go,
    in_numbers,
    each_in_url,
    each_in_json,
    each_in_python,
    often,
    by_yarl,
    basic,
    lambda text: basic(f"a{text}"),
    lambda text: basic(f"ab{text}"),
    lambda text: text.encode().hex(),
]


@given(SECRETS, st.sampled_from(WAYS), st.text(string.ascii_letters + " .,:\n"), st.text(SIGNS))
@example("0000'\\", in_numbers, "", "")
@example("é%41b", quote, "", "")
@example("\\\\n\\u0041", as_go, "", "")
def test_nothing_is_left_of_a_secret_in_any_disguise(
    secret: str, way: Callable[[str], str], before: str, after: str
) -> None:
    assume(len(plainly(secret)) >= SHORTEST)
    told = Redactor([secret]).redact(f"{before} {way(secret)} {after}")
    assert MASK in told
    assert way(secret) not in told


@pytest.mark.parametrize("way", [*WAYS[:-4], each_in_latin_1, lambda text: text.encode().hex()])
@pytest.mark.parametrize("secret", [SECRET, 'q7%Zr/"w+K2&x9\\Vd', TOKEN, "C:\\new%41\\u0042&lt;"])
def test_a_disguise_is_taken_away_whole_and_no_more_than_it(way: Callable[[str], str], secret: str) -> None:
    assert Redactor([secret]).redact(f"before {way(secret)} after") == "before *** after"


@pytest.mark.parametrize(
    "text",
    [
        f"Basic {basic(f'bot:{TOKEN}')[:30]}",
        TOKEN.encode().hex()[:20],
        f"{TOKEN[:22]}\n    {TOKEN[22:26]}\r\n{TOKEN[26:]}",
        base64.encodebytes(f"{{token: {TOKEN}, and so on}}".encode() * 2).decode(),
        json.dumps(f"{TOKEN[:22]}\n{TOKEN[22:]}"),
        basic(json.dumps({"token": TOKEN})),
    ],
)
def test_no_eight_signs_are_left_of_what_was_cut_or_wrapped(text: str) -> None:
    told = Redactor([TOKEN]).redact(text)
    for offset in range(3):
        hidden = basic("x" * offset + TOKEN)[4:-4]
        assert not [i for i in range(len(hidden) - 7) if hidden[i : i + 8] in told]
    assert not [i for i in range(len(TOKEN) - 3) if TOKEN[i : i + 4] in told]
    assert TOKEN.encode().hex()[:16] not in told


@pytest.mark.parametrize("secret", ["Straße-Übung", "İstanbul-x", "ΟΔΟΣ-Σίσυφος", "Å-Kelvin-\u212a"])
def test_letters_may_be_spelled_and_cased_in_any_way(secret: str) -> None:
    redactor = Redactor([secret])
    for form in (secret, normalize("NFC", secret), normalize("NFD", secret), secret.upper(), secret.lower()):
        assert redactor.redact(f"<{form}>") == "<***>", form
        assert redactor.redact(quote(form)) == "***", form
    decomposed = Redactor([normalize("NFD", secret)])
    assert decomposed.redact(f"<{normalize('NFC', secret)}>") == "<***>"


@given(st.text(), st.lists(st.text(SIGNS, min_size=4, max_size=8), max_size=3))
def test_what_holds_no_secret_is_told_as_it_is_and_what_was_redacted_stays_so(text: str, secrets: list[str]) -> None:
    redactor = Redactor(secrets)
    told = redactor.redact(text)
    assert told == text or MASK in told
    assert redactor.redact(told) == told
    assert Redactor(["not in there, for sure: \u2603"]).redact(text) == text


def test_a_long_text_is_looked_through_once_however_odd_it_is() -> None:
    """The work grows with its length: what looks at each place again for each other would not end."""
    redactor = Redactor([TOKEN, "aaaaaaaa", "%25%25%25%25", *(f"{i}-{TOKEN[::-1]}" for i in range(50))])
    for unit in ("a", "%25", "\\\\", "&amp;", " \n", "%", "\\u0041", "ordinary words, ", TOKEN):
        text = unit * (2**17 // len(unit))
        assert (MASK in redactor.redact(text)) == (unit in ("a", "%", "%25", "\\u0041", TOKEN)), unit


def test_a_secret_that_is_an_ordinary_word_hides_that_word_and_no_other() -> None:
    assert (
        Redactor(["pass", "a.c+"]).redact("the pass for abc and a.c+ has p\n ass") == "the *** for abc and *** has ***"
    )


def test_blanks_around_a_secret_are_no_part_of_it() -> None:
    redactor = Redactor([" correct horse\r\n", f"-----BEGIN KEY-----\n{TOKEN}\n{TOKEN[::-1]}\n-----END KEY-----\n"])
    assert redactor.redact("<correct horse>") == "<***>"
    assert redactor.redact(f"({TOKEN[::-1]})") == "(***)"


def test_nothing_is_kept_of_secrets_that_have_been_replaced() -> None:
    """A compiled expression would be, by Python's own cache: with each new token of a receiver, a megabyte."""
    Redactor([TOKEN]).redact(TOKEN)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for i in range(20):
            assert Redactor([f"{TOKEN}{i}{j}" for j in range(10)]).redact(f"{TOKEN}{i}0") == MASK
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


def test_more_secrets_do_not_make_it_forget_the_first() -> None:
    redactor = Redactor()
    for word in ("alpha", "beta", "gamma"):
        redactor.add(f"first-{word}", f"first-{word}-and-more")
    assert redactor.redact("first-alpha first-beta-and-more first-gamma first-") == "*** *** *** first-"


def test_a_secret_is_hidden_in_base64_of_what_was_quoted_before() -> None:
    secret = 'horse "battery" & staple/'
    for text in (json.dumps({"word": secret}), f"user:{quote(secret, safe='')}", quote(secret), html.escape(secret)):
        told = Redactor([secret]).redact(basic(text))
        assert MASK in told
        assert len(told.replace(MASK, "")) < 20, text


@pytest.mark.parametrize("end", ["…", "...", "…)", "... and so on"])
@pytest.mark.parametrize("way", [str, quote, as_go, each_in_url])
def test_the_beginning_of_a_secret_is_hidden_where_a_text_was_cut(way: Callable[[str], str], end: str) -> None:
    redactor = Redactor(["correct horse & battery"])
    assert redactor.redact(f"no to {way('correct horse & b')}{end}") == f"no to ***{end}"
    assert redactor.redact(f"a correct thing… cor{end}") == f"a correct thing… cor{end}"


@pytest.mark.parametrize("address", ["http%3A%2F%2F127.0.0.1%3A8081", "http://127.0.0.1:8081"])
def test_an_address_within_a_url_is_no_secret_but_what_stands_in_it_is(address: str) -> None:
    url = f"tgram://123456:ABCdef0123456789xyzABCDEF/1234?api={address}/Zx81kQ27path"
    redactor = Redactor({url, *secrets_of(url)})
    assert redactor.redact("listens at http://127.0.0.1:9105/") == "listens at http://127.0.0.1:9105/"
    assert "Zx81kQ27path" not in redactor.redact("asked http://127.0.0.1:8081/Zx81kQ27path/sendMessage")

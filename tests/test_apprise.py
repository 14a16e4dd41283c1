from __future__ import annotations

import asyncio
import json
import logging
import queue
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from email import message_from_bytes
from email.policy import default
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.builtin.apprise.judging import Entry, judge
from riskbot.builtin.apprise.notifier import AppriseNotifier, _work, check_url
from riskbot.builtin.apprise.opening import BadUrl, services
from riskbot.model import Severity
from riskbot.notify import Notifier, Outcome, Text, Verdict
from tests.notifier_contract import TEXT, HttpReceiver, Mode, NotifierContract, assert_readable, free_address, root_log

BOT = "123456789:AAbcdefghijklmnopqrstuvwxyz_012345678"
CHAT = "987654321"
HOOK = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
LOGIN = ("S3CRET-user", "S3CRET+p@ss w/")


services()
"""Here, so that no test waits for it and the services' modules can be patched."""


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture
def telegram(receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> HttpReceiver:
    monkeypatch.setattr("apprise.plugins.telegram.NotifyTelegram.notify_url", f"http://{receiver.address}/bot")
    receiver.answer(200, b'{"ok": true}')
    return receiver


@pytest.fixture
def slack(receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> HttpReceiver:
    monkeypatch.setattr("apprise.plugins.slack.NotifySlack.webhook_url", f"http://{receiver.address}/services")
    monkeypatch.setattr("apprise.plugins.slack.NotifySlack.api_url", f"http://{receiver.address}/api/{{}}")
    receiver.answer(200, b"ok")
    return receiver


async def send(url: str, text: Text = TEXT, deadline: float = 5.0) -> Verdict:
    notifier = AppriseNotifier(url, deadline=deadline)
    verdict = await notifier.send(text)
    await notifier.close()
    return verdict


class TestContract(NotifierContract):
    secrets = (
        *LOGIN,
        ":".join(LOGIN),  # whose base64 is the header Authorization
        "S3CRET-path",
        "S3CRETä",
        "S3CRET-header",
        "S3CRET-param",
        "S3CRET-value",
        'S3CRET"q"',
    )

    def make(self, address: str, deadline: float) -> Notifier:
        user, password, _, path, umlaut, header, param, value, marks = (quote(s, safe="") for s in self.secrets)
        query = f"+X-Auth={header}&-key={param}&:more={value}&-q={marks}"
        return AppriseNotifier(f"json://{user}:{password}@{address}/{path}/{umlaut}?{query}", deadline=deadline)


class TestTelegramContract(NotifierContract):
    """The same for the service most people use, whose token stands in the path of each request."""

    secrets = (BOT, BOT.partition(":")[2], CHAT)
    taken = frozenset({200})

    @pytest.fixture(autouse=True)
    def _redirect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def make(self, address: str, deadline: float) -> Notifier:
        notifier = AppriseNotifier(f"tgram://{BOT}/{CHAT}", deadline=deadline)
        self.monkeypatch.setattr("apprise.plugins.telegram.NotifyTelegram.notify_url", f"http://{address}/bot")
        return notifier


# Telegram


async def test_a_bot_api_server_of_ones_own_is_used_where_the_url_names_it(receiver: HttpReceiver) -> None:
    receiver.answer(200, b'{"ok": true}')
    assert await send(f"tgram://{BOT}/{CHAT}?api=http://{receiver.address}/") == Verdict(Outcome.SENT)
    assert [path for path, _ in receiver.seen] == [f"/bot{BOT}/sendMessage"]


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("http://bots.example.com", "tgram://: api: the bot's token would travel in the clear: write https://"),
        ("S3CRET", "tgram://: api: write https://host, or http://127.0.0.1:8081"),
        ("http://telegram-bot-api:8081", ""),
        ("https://bots.example.com/telegram", ""),
    ],
)
def test_a_bot_api_server_must_not_give_the_token_away(api: str, said: str) -> None:
    if not said:
        check_url(f"tgram://{BOT}/{CHAT}?api={api}")
        return
    with pytest.raises(BadUrl) as error:
        check_url(f"tgram://{BOT}/{CHAT}?api={api}")
    assert str(error.value) == said


async def test_telegram_gets_escaped_html(telegram: HttpReceiver) -> None:
    assert await send(f"tgram://{BOT}/{CHAT}") == Verdict(Outcome.SENT)
    path, body = telegram.seen[0]
    sent = json.loads(body)
    assert path == f"/bot{BOT}/sendMessage"
    assert sent["parse_mode"] == "HTML"
    assert sent["text"] == "<b>riskbot: margin low</b>\r\nmgnRatio &lt;1.5&gt; &amp; co"


async def test_plain_text_to_telegram_has_no_markup(telegram: HttpReceiver) -> None:
    notifier = AppriseNotifier(f"tgram://{BOT}/{CHAT}?format=markdown")
    for _ in range(2):
        await notifier.send(Text("a *title*", "x <b>1</b> & co", Severity.INFO, plain=True))
    await notifier.close()
    assert [json.loads(body)["text"] for _, body in telegram.seen] == [
        "a *title*\r\nx &lt;b&gt;1&lt;/b&gt; &amp; co"
    ] * 2


async def test_a_long_text_is_split_for_telegram(telegram: HttpReceiver) -> None:
    assert (await send(f"tgram://{BOT}/{CHAT}", Text("t", "x & " * 2000, Severity.INFO))).outcome is Outcome.SENT
    assert len(telegram.seen) > 1
    assert all(len(json.loads(body)["text"]) <= 4096 * 5 for _, body in telegram.seen)


async def test_telegram_says_how_long_to_wait(telegram: HttpReceiver) -> None:
    words = "Too Many Requests: retry after 7"
    telegram.answer(429, json.dumps({"ok": False, "description": words, "parameters": {"retry_after": 7}}).encode())
    verdict = await send(f"tgram://{BOT}/{CHAT}")
    assert (verdict.outcome, verdict.after) == (Outcome.RETRY, 7.0)
    assert verdict.why == f"HTTP 429: {words}"


@pytest.mark.parametrize(
    ("status", "words", "outcome"),
    [
        (400, "Bad Request: can't parse entities", Outcome.PERMANENT),
        (400, "Bad Request: chat not found", Outcome.BROKEN),
        (403, "Forbidden: bot was blocked by the user", Outcome.BROKEN),
        (404, "Not Found", Outcome.BROKEN),
        (500, "Internal error=400 of ours", Outcome.RETRY),
    ],
)
async def test_telegram_refuses(telegram: HttpReceiver, status: int, words: str, outcome: Outcome) -> None:
    telegram.answer(status, json.dumps({"ok": False, "description": words}).encode())
    verdict = await send(f"tgram://{BOT}/{CHAT}")
    assert verdict.outcome is outcome
    assert words in verdict.why


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, b"", "HTTP 500: Internal server error"),
        (418, b"", "HTTP 418"),
        (404, "kein Käse".encode(), "HTTP 404: Page not found: kein Käse"),
        (404, b'it\'s\n "so"', 'HTTP 404: Page not found: it\'s "so"'),
        (400, b"[" * 1000, "HTTP 400: Bad Request - Unsupported Parameters"),
    ],
)
async def test_a_webhook_s_answer_is_told_in_words(receiver: HttpReceiver, status: int, body: bytes, said: str) -> None:
    receiver.answer(status, body)
    assert (await send(f"json://{receiver.address}/hook")).why == said


async def test_a_second_chat_that_fails_makes_it_ambiguous(telegram: HttpReceiver) -> None:
    sent = Entry("INFO", "Sent Telegram notification.")
    verdict = judge([sent, Entry("WARNING", "Failed to send: retry after 3, error=429.")])
    assert (verdict.outcome, verdict.after) == (Outcome.AMBIGUOUS, 3.0)
    assert verdict.why.startswith("sent in part: ")
    assert judge([sent, Entry("WARNING", "Failed to send, error=404.")]).outcome is Outcome.BROKEN


# What other services log


@pytest.mark.parametrize(
    ("entries", "outcome", "why"),
    [
        ([], Outcome.RETRY, "Apprise gave no reason"),
        ([("DEBUG", "Payload: error=404.")], Outcome.RETRY, "Apprise gave no reason"),
        ([("DEBUG", "Response Details: x")], Outcome.RETRY, "Apprise gave no reason"),
        ([("WARNING", "odd"), ("ERROR", "odder")], Outcome.RETRY, "odd; odder"),
        ([("WARNING", "There are no targets to notify.")], Outcome.BROKEN, "There are no targets to notify."),
        ([("WARNING", "Lark notification failed: 429 - slow")], Outcome.RETRY, "Lark notification failed: 429 - slow"),
        ([("WARNING", "x raised."), ("DEBUG", "Notification Exception: closed")], Outcome.RETRY, "x raised."),
        ([("WARNING", "A, error=404."), ("WARNING", "B, error=400.")], Outcome.PERMANENT, "B, error=400."),
        ([("WARNING", "A, error=404."), ("WARNING", "B, error=503.")], Outcome.RETRY, "B, error=503."),
        ([("WARNING", "A, error=101.")], Outcome.RETRY, "A, error=101."),
        (
            [("WARNING", "A, error=503."), ("DEBUG", f"Response Details: b'{'-' * 400}")],
            Outcome.RETRY,
            f"A, error=503.: b'{'-' * 400}",
        ),
        (
            [("WARNING", "A, error=503."), ("DEBUG", "Response Details: b'\\xzz'")],
            Outcome.RETRY,
            "A, error=503.: b'\\xzz'",
        ),
        ([("WARNING", "SMTP recipient a@b was refused: 550 b'no'")], Outcome.PERMANENT, "SMTP 550 b'no'"),
        ([("DEBUG", "Socket Exception: strange")], Outcome.AMBIGUOUS, "strange"),
    ],
)
def test_the_log_tells_the_outcome(entries: list[tuple[str, str]], outcome: Outcome, why: str) -> None:
    assert judge(Entry(*entry) for entry in entries) == Verdict(outcome, why)


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        ("Max retries exceeded with url: /timed-out (Caused by NewConnectionError('refused'))", Outcome.RETRY),
        ("Max retries exceeded (Caused by NameResolutionError(\"Failed to resolve 'x'\"))", Outcome.RETRY),
        ("Max retries exceeded (Caused by ConnectTimeoutError('timed out. (connect timeout=5)'))", Outcome.RETRY),
        (
            "Max retries exceeded (Caused by SSLError(SSLCertVerificationError('CERTIFICATE_VERIFY_FAILED')))",
            Outcome.RETRY,
        ),
        ("Max retries exceeded (Caused by SSLError(SSLEOFError(8, 'EOF occurred')))", Outcome.AMBIGUOUS),
        ("Max retries exceeded (Caused by SSLError(SSLError(1, 'WRONG_VERSION_NUMBER')))", Outcome.RETRY),
        ("Max retries exceeded (Caused by ProxyError('Unable to connect to proxy'))", Outcome.RETRY),
        ("[Errno 101] Network is unreachable", Outcome.RETRY),
        ("HTTPSConnectionPool(host='x', port=443): Read timed out. (read timeout=10.0)", Outcome.AMBIGUOUS),
        ("('Connection aborted.', RemoteDisconnected('Remote end closed connection'))", Outcome.AMBIGUOUS),
        ("('Connection broken: IncompleteRead(0 bytes read)', IncompleteRead(0 bytes read))", Outcome.AMBIGUOUS),
    ],
)
def test_a_request_that_may_have_been_written_is_ambiguous(cause: str, outcome: Outcome) -> None:
    entries = [Entry("WARNING", "A Connection error occurred."), Entry("DEBUG", f"Socket Exception: {cause}")]
    assert judge(entries).outcome is outcome


@given(st.lists(st.builds(Entry, st.sampled_from(["DEBUG", "INFO", "WARNING"]), st.text())))
def test_any_log_can_be_judged(entries: list[Entry]) -> None:
    assert judge(entries).outcome is not Outcome.SENT


# Slack


async def test_slack_gets_escaped_text(slack: HttpReceiver) -> None:
    assert await send(f"slack://{HOOK}/#general") == Verdict(Outcome.SENT)
    path, body = slack.seen[0]
    assert path == f"/services/{HOOK}"
    assert b"mgnRatio &lt;1.5&gt; &amp; co" in body
    assert b"apprise" not in body.lower()


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (404, b"no_service", Outcome.BROKEN),
        (400, b"invalid_payload", Outcome.PERMANENT),
        (200, b"<html>captive portal</html>", Outcome.AMBIGUOUS),
    ],
)
async def test_slack_refuses(slack: HttpReceiver, status: int, answer: bytes, outcome: Outcome) -> None:
    slack.answer(status, answer)
    verdict = await send(f"slack://{HOOK}/#general")
    assert verdict.outcome is outcome
    assert answer.decode() in verdict.why


@pytest.mark.parametrize(
    ("error", "outcome"),
    [("invalid_auth", Outcome.BROKEN), ("ratelimited", Outcome.RETRY), ("odd", Outcome.AMBIGUOUS)],
)
async def test_a_slack_bot_refuses_with_status_200(slack: HttpReceiver, error: str, outcome: Outcome) -> None:
    slack.answer(200, json.dumps({"ok": False, "error": error}).encode())
    verdict = await send("slack://xoxb-1234-5678-S3CRETS3CRET/#general")
    assert verdict.outcome is outcome
    assert error in verdict.why
    assert_readable(verdict, ("S3CRET",))


# Plain HTTP


@pytest.mark.parametrize(
    ("severity", "kind"),
    [
        (Severity.OK, "success"),
        (Severity.INFO, "info"),
        (Severity.WARNING, "warning"),
        (Severity.CRITICAL, "failure"),
        (Severity.EMERGENCY, "failure"),
    ],
)
async def test_the_severity_is_told_to_the_service(receiver: HttpReceiver, severity: Severity, kind: str) -> None:
    await send(f"json://{receiver.address}/", Text("t", "b", severity))
    sent = json.loads(receiver.seen[0][1])
    assert (sent["title"], sent["message"], sent["type"]) == ("t", "b", kind)


async def test_nothing_to_say_is_tried_again_with_a_reason(receiver: HttpReceiver) -> None:
    verdict = await send(f"json://{receiver.address}/", Text("", " ", Severity.INFO))
    assert (verdict.outcome, receiver.seen) == (Outcome.RETRY, [])
    assert "No message" in verdict.why


async def test_a_reader_that_times_out_is_ambiguous(receiver: HttpReceiver) -> None:
    receiver.mode = Mode.HANG
    verdict = await send(f"json://{receiver.address}/S3CRET?rto=0.2&cto=1")
    assert verdict.outcome is Outcome.AMBIGUOUS
    assert verdict.why.startswith("no answer in time (")


async def test_a_url_cannot_turn_a_failure_into_a_success(receiver: HttpReceiver) -> None:
    receiver.answer(500)
    verdict = await send(f"json://{receiver.address}/?optional=yes&retry=3&wait=0.1")
    assert verdict.outcome is Outcome.RETRY
    assert len(receiver.seen) == 1


async def test_redirects_are_followed_only_on_request(receiver: HttpReceiver) -> None:
    receiver.answer(302, Location="/again")
    verdict = await send(f"json://{receiver.address}/?redirect=yes")
    assert verdict.outcome is Outcome.AMBIGUOUS
    assert len(receiver.seen) > 1


async def test_a_long_answer_is_not_told(receiver: HttpReceiver) -> None:
    receiver.answer(400, b"<p>" + b"long " * 200)
    assert "long" not in (await send(f"json://{receiver.address}/")).why


async def test_a_reason_is_cut_and_has_no_control_signs(receiver: HttpReceiver) -> None:
    receiver.answer(400, ("\x1b[31m\n\u202e" + "ab " * 100).encode())
    verdict = await send(f"json://{receiver.address}/")
    assert verdict.why.isprintable()
    assert len(verdict.why) == 200
    assert verdict.why.endswith("…")


# Time and threads


async def sent_at_last(notifier: AppriseNotifier) -> Verdict:
    """Send until the hung send before has ended."""
    for _ in range(200):
        verdict = await notifier.send(TEXT)
        if verdict.outcome is not Outcome.RETRY:
            break
        await asyncio.sleep(0.01)
    return verdict


async def test_the_next_send_does_not_queue_behind_a_hung_one(receiver: HttpReceiver) -> None:
    receiver.mode = Mode.HANG
    notifier = AppriseNotifier(f"json://{receiver.address}/", deadline=0.3)
    assert await notifier.send(TEXT) == Verdict(Outcome.AMBIGUOUS, "no result within 0.3 s")
    assert await notifier.send(TEXT) == Verdict(Outcome.RETRY, "the previous send has not ended")
    receiver.answer(200)
    receiver.released.set()
    assert await sent_at_last(notifier) == Verdict(Outcome.SENT)
    assert len(receiver.seen) == 2
    await notifier.close()


async def test_a_send_that_is_cancelled_leaves_the_thread_usable(receiver: HttpReceiver) -> None:
    receiver.mode = Mode.HANG
    notifier = AppriseNotifier(f"json://{receiver.address}/")
    sending = asyncio.create_task(notifier.send(TEXT))
    await receiver.arrived.wait()
    sending.cancel()
    await asyncio.wait([sending])
    assert (await notifier.send(TEXT)).outcome is Outcome.RETRY
    receiver.answer(200)
    receiver.released.set()
    assert await sent_at_last(notifier) == Verdict(Outcome.SENT)
    await notifier.close()


async def test_a_cancelled_send_that_was_not_begun_is_never_sent(receiver: HttpReceiver) -> None:
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    job: Future[Verdict] = Future()
    assert job.cancel()
    tasks.put((job, lambda: pytest.fail("sent")))
    tasks.put(None)
    _work(tasks)


async def test_closing_twice_or_before_any_send_is_fine(receiver: HttpReceiver) -> None:
    notifier = AppriseNotifier(f"json://{receiver.address}/")
    await notifier.close()
    assert (await notifier.send(TEXT)).outcome is Outcome.SENT
    await notifier.close()
    await notifier.close()
    assert (await notifier.send(TEXT)).outcome is Outcome.SENT
    await notifier.close()


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
async def test_a_service_that_crashes_is_tried_again(
    receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def crash(*args: object, **kwargs: object) -> None:
        raise error("no S3CRET-path left")

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.send", crash)
    notifier = AppriseNotifier(f"json://{receiver.address}/S3CRET-path")
    for _ in range(2):
        verdict = await notifier.send(TEXT)
        assert verdict.outcome is Outcome.RETRY
        assert_readable(verdict, ("S3CRET",))
    await notifier.close()


async def test_the_process_ends_in_spite_of_a_hung_server(receiver: HttpReceiver) -> None:
    receiver.mode = Mode.HANG
    code = f"""
import asyncio
from riskbot.builtin.apprise.notifier import AppriseNotifier
from riskbot.model import Severity
from riskbot.notify import Text
async def main():
    notifier = AppriseNotifier("json://{receiver.address}/", deadline=0.1)
    print((await notifier.send(Text("t", "b", Severity.INFO))).outcome, flush=True)
    await notifier.close()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ambiguous\n"
    begun = time.monotonic()
    _, errors = await process.communicate()
    assert time.monotonic() - begun < 4.0
    assert (process.returncode, errors) == (0, b"")


def test_apprise_is_not_imported_before_it_is_needed() -> None:
    code = "import riskbot.builtin.apprise.notifier, sys; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Bad addresses


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tgrm://S3CRET-TOKEN/1", "unknown service tgrm://; did you mean tgram://?"),
        ("qqqqqqqqqq://S3CRET", "unknown service qqqqqqqqqq://"),
        ("S3CRET-TOKEN", "not an Apprise URL: it begins with a service, such as tgram:// or mailto://"),
        ("", "not an Apprise URL: it begins with a service, such as tgram:// or mailto://"),
        ("s3cretsecretsecretsecret://x", "not an Apprise URL: it begins with a service, such as tgram:// or mailto://"),
        ("slack://S3CRET/bad", "slack://: An invalid Slack Token was specified."),
        ("discord://S3CRET-TOKEN", "discord://: An invalid Discord Webhook Token was specified."),
        ("json://", "json://: the URL is incomplete or malformed"),
        ("mailto://", "mailto://: Invalid ~From~ email specified"),
        (
            "https://example.com/S3CRET",
            "no service knows this web address; for a webhook of your own write json:// or jsons://",
        ),
    ],
)
def test_a_bad_url_is_told_without_its_secrets(url: str, why: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadUrl) as told:
        check_url(url)
    assert str(told.value) == why
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__ is (told.value.__context__ is not None)
    assert capfd.readouterr() == ("", "")


def test_a_service_whose_package_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    check_url("json://localhost")
    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.enabled", False)
    with pytest.raises(BadUrl, match="needs a Python package"):
        check_url("json://localhost")


def test_a_service_that_crashes_over_its_url_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(url: str) -> None:
        raise KeyError(url)

    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.parse_url", crash)
    with pytest.raises(BadUrl, match="malformed"):
        check_url("json://localhost/S3CRET")


def test_a_url_without_any_receiver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.__len__", lambda self: 0)
    with pytest.raises(BadUrl, match="names no valid receiver"):
        check_url("json://localhost")


def test_what_the_url_says_wins_over_our_defaults() -> None:
    def service_of(url: str) -> object:
        return next(iter(AppriseNotifier(url)._app))

    ours = service_of(f"slack://{HOOK}")
    assert (ours.socket_connect_timeout, ours.socket_read_timeout) == (5.0, 10.0)
    assert (ours.overflow_mode, ours.include_image, ours.include_footer) == ("split", False, False)
    assert ours.image_url("info") is None
    theirs = service_of(f"slack://{HOOK}?cto=1&rto=2&overflow=truncate&image=yes&footer=yes")
    assert (theirs.socket_connect_timeout, theirs.socket_read_timeout) == (1.0, 2.0)
    assert (theirs.overflow_mode, theirs.include_image, theirs.include_footer) == ("truncate", True, True)
    mail = service_of("mailto://user:password@example.com")
    assert (mail.socket_connect_timeout, mail.request_rate_per_sec) == (10.0, 0.2)


def test_web_addresses_of_a_service_are_taken_as_they_are() -> None:
    notifier = AppriseNotifier(f"https://hooks.slack.com/services/{HOOK}")
    assert repr(notifier) == "<AppriseNotifier https>"


def test_what_apprise_and_its_http_client_log_never_reaches_our_log(capfd: pytest.CaptureFixture[str]) -> None:
    with root_log() as told:
        check_url(f"tgram://{BOT}/{CHAT}")
        for name in ("apprise", "urllib3.connectionpool", "requests"):
            logging.getLogger(name).warning("S3CRET")
    assert told.getvalue() == ""
    assert capfd.readouterr() == ("", "")


# E-mail


class MailServer:
    """A fake SMTP server: `replies` maps the beginning of a command to the reply; `drop` closes instead."""

    def __init__(self, replies: dict[str, str], drop: str = "never") -> None:
        self.replies = {
            "EHLO": "250-fake\r\n250 AUTH PLAIN",
            "AUTH": "235 in",
            "HELLO": "220 fake",
            "DATA": "354 go",
            **replies,
        }
        self.drop = drop
        self.mails: list[bytes] = []

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = "HELLO"
        while command and not command.startswith(self.drop):
            reply = next((self.replies[key] for key in self.replies if command.startswith(key)), "250 fine")
            writer.write(f"{reply}\r\n".encode())
            if reply.startswith("354"):
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                command = "END"
            else:
                command = (await reader.readline()).decode().strip().upper()
        writer.close()


async def mail(
    replies: dict[str, str], drop: str = "never", query: str = "", text: Text = TEXT
) -> tuple[Verdict, MailServer]:
    server = MailServer(replies, drop)
    async with server as address:
        # example.com stands for the sender; the trader's own server is named by smtp=.
        port = address.rpartition(":")[2]
        query += "&from=S3CRET-me@example.com&to=you@example.com&smtp=127.0.0.1&mode=insecure"
        url = f"mailto://S3CRET-me:S3CRET-pass@example.com:{port}?{query}"
        verdict = await send(url, text)
    assert_readable(verdict, ("S3CRET", "you@example.com"))
    return verdict, server


@pytest.mark.parametrize(
    ("query", "plain", "kind", "words"),
    [
        ("", False, "text/plain", "mgnRatio <1.5> & co"),
        ("&format=html", False, "text/html", "mgnRatio&nbsp;&lt;1.5&gt;&nbsp;&amp;&nbsp;co"),
        ("&format=html", True, "text/plain", "mgnRatio <1.5> & co"),
    ],
)
async def test_an_e_mail_arrives_as_it_was_written(query: str, plain: bool, kind: str, words: str) -> None:
    text = Text(TEXT.title, TEXT.body, TEXT.severity, plain)
    verdict, server = await mail({}, query=query, text=text)
    assert verdict == Verdict(Outcome.SENT)
    message = message_from_bytes(server.mails[0], policy=default)
    assert message["Subject"] == TEXT.title
    page = message.get_body()
    assert page is not None
    assert page.get_content_type() == kind
    assert words in page.get_content()


@pytest.mark.parametrize(
    ("replies", "outcome", "why"),
    [
        ({"RCPT": "450 busy"}, Outcome.RETRY, "SMTP 450"),
        ({"RCPT": "550 no such user"}, Outcome.PERMANENT, "no such user"),
        ({"MAIL": "530 who are you"}, Outcome.BROKEN, "SMTP 530"),
        ({"MAIL": "553 not yours"}, Outcome.PERMANENT, "not yours"),
        ({"DATA": "451 later"}, Outcome.RETRY, "SMTP 451"),
        ({"END": "451 later"}, Outcome.RETRY, "SMTP 451"),
        ({"END": "554 spam"}, Outcome.PERMANENT, "SMTP 554"),
        ({"AUTH": "535 wrong password"}, Outcome.BROKEN, "SMTP 535"),
        ({"AUTH": "454 not now"}, Outcome.RETRY, "SMTP 454"),
        ({"HELLO": "554 go away"}, Outcome.BROKEN, "SMTP 554"),
        ({"HELLO": "421 full"}, Outcome.RETRY, "SMTP 421"),
        ({"EHLO": "250 fake"}, Outcome.RETRY, "SMTP AUTH extension not supported"),
    ],
)
async def test_each_reply_of_a_mail_server_has_its_outcome(replies: dict[str, str], outcome: Outcome, why: str) -> None:
    verdict, _ = await mail(replies)
    assert verdict.outcome is outcome
    assert why in verdict.why


@pytest.mark.parametrize(
    ("drop", "outcome"),
    [("HELLO", Outcome.RETRY), ("AUTH", Outcome.RETRY), ("MAIL", Outcome.AMBIGUOUS), ("END", Outcome.AMBIGUOUS)],
)
async def test_a_mail_server_that_hangs_up_early_has_nothing(drop: str, outcome: Outcome) -> None:
    verdict, _ = await mail({}, drop)
    assert verdict.outcome is outcome


async def test_no_mail_server_at_all_is_tried_again() -> None:
    host, _, port = free_address().partition(":")
    verdict = await send(f"mailto://me:password@example.com:{port}?smtp={host}&mode=insecure&to=you@example.com")
    assert verdict.outcome is Outcome.RETRY
    assert verdict.why.startswith("the connection was refused (")

"""The part of `riskbot init` about who is told: each receiver is tried, and a person says whether it arrived."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

import click

from riskbot.builtin.apprise.opening import BadUrl, bot_api
from riskbot.cli import stored, wiring
from riskbot.cli.common import fail
from riskbot.cli.interview import Interview
from riskbot.cli.questions import heading, read
from riskbot.cli.things import OK, WRONG, show, thing
from riskbot.settings.model import misnamed
from riskbot.setup import telegram, trial, urls
from riskbot.setup.known import variable
from riskbot.setup.telegram import Bot, TelegramError
from riskbot.text import span

TELEGRAM, SLACK, MAIL, OTHER = "telegram", "slack", "e-mail", "other"
NAMES = {TELEGRAM: "phone", SLACK: "slack", MAIL: "mail", OTHER: "other"}
"""What a receiver of that sort is called, unless one is called so already."""
TOKEN = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the name of a variable
HOW_TELEGRAM = """\
In Telegram, write /newbot to @BotFather, give the bot a name, and copy the token that it answers with."""
HOW_SLACK = """\
In Slack: api.slack.com/apps, "Create New App", "Incoming Webhooks", "Add New Webhook to Workspace"; copy its URL."""
HOW_MAIL = "A mailbox that riskbot may send from. Most providers want an app password, not the one of your login."
HOW_OTHER = "Any Apprise URL, such as ntfys://… or discord://…; all are at https://github.com/caronc/apprise/wiki"


def receivers(talk: Interview) -> dict[str, tuple[str, str]]:
    """Those to write, as references to their URLs, and what each is. May end the command.

    Those of before stay; new ones come by flags, or are asked for until there is one.
    """
    heading("Who is told")
    given = dict(_given(talk))
    for name, url in given.items():
        if not _tried(talk, name, url):
            fail(f"receiver {name}: no message arrives there; nothing was written.", 1)
        _keep(talk, name, url)
    found = {name: url for name, url in talk.before.receivers().items() if url}
    if not given and talk.ask.silent and not talk.before.receivers():
        fail("Receivers: none given, and --yes asks nobody. Give --receiver NAME or --telegram-chat ID.", 2)
    if talk.ask.silent:
        show(thing("receiver", name, OK, "as before, not tried") for name in found if name not in given)
    found = {**found, **given} if given or talk.ask.silent else _asked(talk, found)
    kept = {name: (_keep(talk, name, url), urls.service(url)) for name, url in found.items()}
    return {name: told for name, told in kept.items() if name in given or talk.before.lacks(name)}


def _keep(talk: Interview, name: str, url: str) -> str:
    """How the rules file names it; its secret is safe from now on."""
    return talk.refer(("receiver", name), talk.before.written(name), url, variable(name))


def _asked(talk: Interview, found: dict[str, str]) -> dict[str, str]:
    anyone = bool(talk.before.receivers())
    if found and talk.options.test and talk.ask.confirm(f"Send a test message to {', '.join(found)}?", default=True):
        for name, url in found.items():
            _tried(talk, name, url)
    while not anyone or talk.ask.confirm(_more(found), default=False):
        sort = talk.ask.choice("Telegram, Slack, e-mail or another", tuple(NAMES), TELEGRAM)
        url, name = _ASKERS[sort](talk), _name(talk, sort, found)
        if _tried(talk, name, url):
            found[name] = url
            _keep(talk, name, url)
            anyone = True
    return found


def _name(talk: Interview, sort: str, found: Iterable[str]) -> str:
    """What it is called in messages. Of most sorts there is one, whose name says what it is."""
    usual = _free(NAMES[sort], found)
    if sort != OTHER:
        return usual
    while why := misnamed(name := talk.ask.text("What riskbot is to call it", usual)):
        show([thing("receiver", name, WRONG, why)])
    return _free(name, found)


def _more(found: dict[str, str]) -> str:
    return "Another receiver?" + (" With two, one can stand in for the other." if len(found) == 1 else "")


def _free(name: str, taken: Iterable[str]) -> str:
    names = (f"{name}{number}" if number > 1 else name for number in range(1, 1000))
    return next(word for word in names if word not in taken)


# By flags.


def _given(talk: Interview) -> Iterable[tuple[str, str]]:
    """`--receiver NAME=FILE`, `--receiver NAME` with RISKBOT_NAME in the environment, Telegram by token and chat."""
    for word in talk.options.receivers:
        name, _, file = word.partition("=")
        if "://" in name:
            fail("--receiver: NAME=FILE is due; the URL itself is a secret, and stands in that file", 2)
        if why := misnamed(name):
            fail(f"--receiver: {why}", 2)
        url = read(file, f"--receiver {name}") if file else talk.before.env.get(variable(name), "")
        if not url:
            fail(f"--receiver {name}: set {variable(name)}, or give --receiver {name}=FILE.", 2)
        yield name, url
    if talk.options.telegram_token_file or talk.options.telegram_chat:
        yield NAMES[TELEGRAM], _telegram(talk)


# Asked for, one sort each.


def _telegram(talk: Interview) -> str:
    """A bot, and the chat that pairs with it."""
    options, api = talk.options, _api(talk)
    if not (talk.ask.silent or options.telegram_token_file):
        click.echo(HOW_TELEGRAM)
    file = options.telegram_token_file
    token = read(file, "--telegram-token-file") if file else os.environ.get(TOKEN, "")
    while True:
        asked = token or talk.ask.secret("Bot token", f"--telegram-token-file FILE, or {TOKEN}")
        bot = Bot(asked, api)
        try:
            name = talk.run(bot.name())
            show([thing("bot", f"@{name}", OK, "Telegram knows it")])
            chat = options.telegram_chat or _paired(talk, bot, name)
            return bot.url(chat)
        except TelegramError as error:
            show([thing("bot", "", WRONG, str(error))])
            if talk.ask.silent:
                fail("Nothing was written.", 1)
            token = ""


def _api(talk: Interview) -> str:
    """Where the token may be sent to."""
    try:
        return bot_api(talk.options.telegram_api)
    except BadUrl as error:
        fail(f"--telegram-api: {str(error).partition('api: ')[2]}", 2)


def _paired(talk: Interview, bot: Bot, name: str, code: str = "") -> str:
    """The chat in which Start is pressed; asked for by hand if nobody does. Raises TelegramError.

    code: of the link that was shown before; who presses late has pressed.
    """
    if talk.ask.silent:
        fail("Telegram's chat: not given, and --yes waits for nobody. Give --telegram-chat ID.", 2)
    code = code or telegram.new_code()
    click.echo(f"\nOpen this on your phone, and press Start:\n\n  {telegram.link(name, code)}\n")
    chat = talk.run(bot.pair(code, talk.options.telegram_wait, _countdown))
    _countdown(0)
    if chat is not None:
        show([thing("chat", chat.name, OK, f"paired ({chat.kind}); no other chat is ever written to")])
        return str(chat.id)
    click.echo(f"Nobody pressed Start in time. To write /start {code} to @{name} does the same.")
    if talk.ask.confirm("Wait once more?", default=True):
        return _paired(talk, bot, name, code)
    return talk.ask.text("The chat's ID")


def _countdown(left: float) -> None:
    """On one line that is written over; only on a terminal."""
    if sys.stdout.isatty():
        words = f"waiting for Start, {span(left)} left …" if left else ""
        click.echo(f"\r{words:<40}\r", nl=False)


def _slack(talk: Interview) -> str:
    click.echo(HOW_SLACK)
    while True:
        try:
            return urls.slack(talk.ask.secret("Webhook URL", "--receiver slack"))
        except ValueError as error:
            show([thing("receiver", "slack", WRONG, str(error))])


def _mail(talk: Interview) -> str:
    click.echo(HOW_MAIL)
    address = _right(talk, "E-mail address", None, urls.mailbox)
    password = talk.ask.secret("Password", "--receiver mail")
    smtp = _right(talk, "SMTP server (Enter: its provider is well known)", "", urls.smtp_server)
    to = talk.ask.text("Send to (Enter: to itself)", "")
    return urls.mail(address, password, smtp, to)


def _right(talk: Interview, words: str, default: str | None, check: Callable[[str], object]) -> str:
    """One line, asked for until it passes: check raises ValueError."""
    while True:
        typed = talk.ask.text(words, default)
        try:
            check(typed)
        except ValueError as error:
            show([thing("receiver", "mail", WRONG, str(error))])
        else:
            return typed


def _other(talk: Interview) -> str:
    click.echo(HOW_OTHER)
    return talk.ask.secret("URL", "--receiver")


_ASKERS = {TELEGRAM: _telegram, SLACK: _slack, MAIL: _mail, OTHER: _other}


# Does it arrive?


def _tried(talk: Interview, name: str, url: str) -> bool:
    """Send a test message and have a person say whether it arrived. False: it is not to be used."""

    async def send() -> trial.Trial:
        notifier = await wiring.notifier(name, url, talk.found)
        return await trial.send(name, notifier, trial.message(name, stored.now()))

    async def check() -> None:
        await (await wiring.notifier(name, url, talk.found)).close()

    try:
        if not talk.options.test:
            talk.run(check())
            return True
        came = talk.run(send())
    except BadUrl as error:
        show([thing("receiver", name, WRONG, str(error).partition("url: ")[2])])
        return False
    more = "; nobody was asked whether it arrived" if talk.ask.silent and came.ok else ""
    show([thing("receiver", name, OK if came.ok else WRONG, came.says + more)])
    if talk.ask.silent:
        return came.ok
    if came.ok and talk.ask.confirm("Did it arrive?", default=True):
        return True
    return talk.ask.confirm(f"Use {name} all the same?", default=False)

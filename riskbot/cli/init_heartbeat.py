"""The part of `riskbot init` about who calls when riskbot itself falls silent."""

from __future__ import annotations

import click
from pydantic import ValidationError
from yarl import URL

from riskbot.cli.common import fail
from riskbot.cli.interview import Interview
from riskbot.cli.questions import heading, read
from riskbot.cli.things import OK, WRONG, show, thing
from riskbot.service.heartbeat import send
from riskbot.settings.mistakes import explain
from riskbot.settings.model import HeartbeatSettings
from riskbot.setup.known import HEARTBEAT

HOW = """\
riskbot can't tell you that it is dead, or that this machine is. A service elsewhere can, such as Healthchecks or Uptime
Kuma: riskbot pings its URL once a minute, and it calls you when the pings end."""


def heartbeat(talk: Interview) -> str:
    """How the rules file is to refer to the URL, or "": as it is, or none. May end the command."""
    given = read(talk.options.heartbeat_file, "--heartbeat-file") if talk.options.heartbeat_file else ""
    before = talk.before.heartbeat()
    if not (given or talk.ask.silent):
        heading("Who watches riskbot")
        click.echo(HOW)
    while True:
        url = given or talk.ask.optional_secret("Ping URL", before)
        if not url:
            return ""
        unfit = _unfit(url)
        why = unfit or (talk.run(send(URL(url), ())) if talk.options.test else "")
        show([thing("heartbeat", "", WRONG if why else OK, why or "the service takes the ping")])
        ask = not (unfit or talk.ask.silent)
        if not why or (ask and talk.ask.confirm("Use it all the same?", default=False)):
            return talk.refer(("heartbeat", "url"), talk.before.written_heartbeat(), url, HEARTBEAT)
        if talk.ask.silent:
            fail("Nothing was written.", 1)
        given = before = ""


def _unfit(url: str) -> str:
    """Why the rules file could not have it, or ""."""
    try:
        HeartbeatSettings.model_validate({"url": url})
    except ValidationError as error:
        return explain(error.errors(include_url=False)[0], HeartbeatSettings).partition("url: ")[2]
    return ""

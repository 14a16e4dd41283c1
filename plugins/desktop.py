"""A receiver that shows messages on the desktop of whoever runs riskbot: `url = "desktop://"`. Needs notify-send."""

from asyncio import create_subprocess_exec

from riskbot import Notifier, Outcome, Severity, Text, Verdict, hookimpl


class Desktop:
    """A receiver that needs no network, so it is a good `fallback`."""

    def __init__(self, url: str) -> None:
        if url != "desktop://":
            raise ValueError("write desktop:// and nothing more")

    async def send(self, text: Text) -> Verdict:
        """Show it; what is critical stays until it is clicked away."""
        urgency = "critical" if text.severity >= Severity.CRITICAL else "normal"
        words = ("--app-name=riskbot", f"--urgency={urgency}", "--", text.title, text.body)
        code = await (await create_subprocess_exec("notify-send", *words)).wait()
        return Verdict(Outcome.RETRY, f"notify-send ended with {code}") if code else Verdict(Outcome.SENT)

    async def close(self) -> None:
        """There is nothing to give back."""


@hookimpl
def register_notifiers() -> dict[str, type[Notifier]]:
    """Used for receivers' URLs that begin with `desktop://`."""
    return {"desktop": Desktop}

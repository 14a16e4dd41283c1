"""Any Apprise URL as a receiver: Telegram, Slack, e-mail and a hundred more.

Apprise says only "failed"; why it failed stands in what it logs. So the log of each try is captured, never shown,
and read: the outcome is decided by the status or the broken connection found there (`judge`), and only a redacted
line of it leaves this module. Apprise blocks while it sends, therefore every receiver has a thread of its own.

One option is ours: `tgram://TOKEN/CHAT?api=http://127.0.0.1:8081`, for a Bot API server of one's own.
"""

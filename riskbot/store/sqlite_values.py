"""The accounts' values in the database, inside the caller's transaction."""

from __future__ import annotations

from sqlite3 import Connection

from riskbot.store import Fenced, State


def names(db: Connection) -> list[str]:
    """All that has a value."""
    return [account for (account,) in db.execute("SELECT account FROM accounts ORDER BY account")]


def load(db: Connection, account: str) -> State:
    """The account's value, revision and last commit."""
    row = db.execute("SELECT value, rev, commit_id FROM accounts WHERE account = ?", (account,)).fetchone()
    return State(*row) if row else State()


def write(db: Connection, account: str, rev: int, old: State, new: State) -> None:
    """Put the new value in place of the old one. Raises Fenced if that is not at `rev`."""
    if old.rev != rev:
        raise Fenced(f"account {account} is at revision {old.rev}, not {rev}: somebody else has written it")
    sql = """
        INSERT INTO accounts (account, value, rev, commit_id) VALUES (?, ?, ?, ?)
        ON CONFLICT (account) DO UPDATE SET value = excluded.value, rev = excluded.rev, commit_id = excluded.commit_id
        """
    db.execute(sql, (account, new.value, new.rev, new.commit_id))

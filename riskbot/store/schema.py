"""The tables of the database, and how older ones become them."""

from __future__ import annotations

MIGRATIONS = [
    """
    CREATE TABLE accounts (
      account   TEXT PRIMARY KEY,
      value     BLOB NOT NULL,
      rev       INTEGER NOT NULL,
      commit_id TEXT NOT NULL
    );

    CREATE TABLE outbox (
      n        INTEGER PRIMARY KEY,   -- order of writing
      id       TEXT NOT NULL,
      at       REAL NOT NULL,
      receiver TEXT NOT NULL,
      alert    TEXT NOT NULL,
      urgency  INTEGER NOT NULL,
      state    TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'superseded', 'dead')),
      moment   REAL NOT NULL,         -- queued: due then; sending: leased until then; else: done then
      message  TEXT NOT NULL,         -- all of it, as JSON
      UNIQUE (id, at)
    );
    CREATE UNIQUE INDEX outbox_queued ON outbox (receiver, alert) WHERE state = 'queued';
    CREATE UNIQUE INDEX outbox_sending ON outbox (receiver, alert) WHERE state = 'sending';
    CREATE INDEX outbox_done ON outbox (moment) WHERE state IN ('sent', 'superseded', 'dead');

    CREATE TABLE series (
      series  INTEGER PRIMARY KEY,
      account TEXT NOT NULL,
      field   TEXT NOT NULL,
      ccy     TEXT NOT NULL,
      UNIQUE (account, field, ccy)
    );
    CREATE TABLE points (
      series INTEGER NOT NULL,
      at     REAL NOT NULL,
      value  TEXT NOT NULL,
      PRIMARY KEY (series, at)
    ) WITHOUT ROWID;
    CREATE TABLE seen (
      account TEXT PRIMARY KEY,
      at      REAL NOT NULL
    );
    """,
    """
    CREATE TABLE outbox_now (
      n        INTEGER PRIMARY KEY,   -- order of writing
      id       TEXT NOT NULL,
      at       REAL NOT NULL,
      receiver TEXT NOT NULL,
      account  TEXT NOT NULL,
      alert    TEXT NOT NULL,
      urgency  INTEGER NOT NULL,
      state    TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'superseded', 'dead', 'dropped')),
      moment   REAL NOT NULL,         -- queued: due then; sending: leased until then; else: done then
      message  TEXT NOT NULL,         -- all of it, as JSON
      UNIQUE (id, at)
    );
    INSERT INTO outbox_now
      SELECT n, id, at, receiver, json_extract(message, '$.account'), alert, urgency, state, moment, message
      FROM outbox;
    DROP TABLE outbox;
    ALTER TABLE outbox_now RENAME TO outbox;
    CREATE UNIQUE INDEX outbox_queued ON outbox (receiver, alert) WHERE state = 'queued';
    CREATE UNIQUE INDEX outbox_sending ON outbox (receiver, alert) WHERE state = 'sending';
    CREATE INDEX outbox_standing ON outbox (receiver, alert) WHERE state IN ('queued', 'sending', 'dead');
    CREATE INDEX outbox_done ON outbox (moment) WHERE state IN ('sent', 'superseded', 'dead', 'dropped');

    -- Dead is now what is still owed; of these alerts something newer was told long ago, or is about to be.
    UPDATE outbox SET state = 'superseded' WHERE state = 'dead' AND EXISTS (
      SELECT 1 FROM outbox AS later
      WHERE later.receiver = outbox.receiver AND later.alert = outbox.alert AND later.n > outbox.n
      AND later.state IN ('queued', 'sending', 'sent')
    );

    CREATE TABLE events (
      at      REAL NOT NULL,
      account TEXT NOT NULL,
      rule    TEXT NOT NULL,
      subject TEXT NOT NULL,
      episode INTEGER NOT NULL,
      seq     INTEGER NOT NULL,
      event   TEXT NOT NULL,          -- all of it, as JSON
      PRIMARY KEY (at, account, rule, subject, episode, seq)
    ) WITHOUT ROWID;
    """,
    """
    -- The recording: what alerts were made of. Only whole segments are forgotten.
    CREATE TABLE segments (
      segment INTEGER PRIMARY KEY,    -- in the order of writing
      account TEXT NOT NULL,
      name    TEXT NOT NULL,
      first   REAL NOT NULL,
      last    REAL NOT NULL,
      batches INTEGER NOT NULL,
      looks   INTEGER NOT NULL,
      bytes   INTEGER NOT NULL,
      UNIQUE (account, name)
    );
    CREATE INDEX segments_by_age ON segments (last);
    CREATE TABLE batches (
      n     INTEGER PRIMARY KEY,      -- the segment, then the batch's place in it
      first REAL NOT NULL,
      last  REAL NOT NULL,
      looks INTEGER NOT NULL,
      data  BLOB NOT NULL             -- compressed
    );

    -- What was watched, and by which rules, from when on.
    CREATE TABLE bundles (
      since  REAL PRIMARY KEY,
      hash   TEXT NOT NULL,
      bundle TEXT NOT NULL            -- JSON, without secrets
    );
    """,
]
"""Each brings the schema from its place in the list to the next; only ever appended to."""

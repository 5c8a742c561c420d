"""The tables of the ledger's SQLite file."""

from __future__ import annotations

from ...store.sqlite.migrations import Schema

LEDGER = Schema(
    application_id=0x4A484142,  # The letters JHAB.
    migrations=(
        (
            # Times are whole microseconds since 1970 in UTC, money whole nano-dollars, `day` the site's own.
            """
            CREATE TABLE calls (
                number         INTEGER PRIMARY KEY,
                id             TEXT NOT NULL UNIQUE,
                started_at     INTEGER NOT NULL,
                day            TEXT NOT NULL,
                person         TEXT NOT NULL,
                via            TEXT NOT NULL,
                run_id         TEXT,
                agent_id       TEXT,
                groups         TEXT NOT NULL,
                model          TEXT NOT NULL,
                input          INTEGER NOT NULL,
                output         INTEGER NOT NULL,
                cache_write_5m INTEGER NOT NULL,
                cache_write_1h INTEGER NOT NULL,
                cache_read     INTEGER NOT NULL,
                server_tools   INTEGER NOT NULL,
                cost           INTEGER NOT NULL,
                status         INTEGER NOT NULL,
                duration_us    INTEGER NOT NULL,
                stream         INTEGER NOT NULL,
                complete       INTEGER NOT NULL,
                estimated      INTEGER NOT NULL
            )
            """,
            "CREATE INDEX calls_newest ON calls (started_at, number)",
            "CREATE INDEX calls_of_person ON calls (person, started_at, number)",
            "CREATE INDEX calls_of_run ON calls (run_id, started_at, number) WHERE run_id IS NOT NULL",
            "CREATE INDEX calls_of_day ON calls (day, run_id)",
            # Sums of calls by day, for one person, one group, or the hub: pages read these and no calls.
            """
            CREATE TABLE daily (
                kind        TEXT NOT NULL,
                name        TEXT NOT NULL,
                day         TEXT NOT NULL,
                model       TEXT NOT NULL,
                calls       INTEGER NOT NULL,
                failed      INTEGER NOT NULL,
                input       INTEGER NOT NULL,
                output      INTEGER NOT NULL,
                cache_write INTEGER NOT NULL,
                cache_read  INTEGER NOT NULL,
                cost        INTEGER NOT NULL,
                PRIMARY KEY (kind, name, day, model)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX daily_by_day ON daily (kind, day)",
            """
            CREATE TABLE spent (
                kind   TEXT NOT NULL,
                name   TEXT NOT NULL,
                period TEXT NOT NULL,
                key    TEXT NOT NULL,
                spent  INTEGER NOT NULL,
                PRIMARY KEY (kind, name, period, key)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX spent_in_period ON spent (kind, key, name, spent)",
            "CREATE TABLE replicas (id TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID",
            """
            CREATE TABLE leases (
                kind    TEXT NOT NULL,
                name    TEXT NOT NULL,
                period  TEXT NOT NULL,
                key     TEXT NOT NULL,
                replica TEXT NOT NULL REFERENCES replicas (id) ON DELETE CASCADE,
                amount  INTEGER NOT NULL CHECK (amount >= 0),
                PRIMARY KEY (kind, name, period, key, replica)
            ) WITHOUT ROWID
            """,
            "CREATE INDEX leases_of_replica ON leases (replica)",
            """
            CREATE TABLE budgets (
                kind  TEXT NOT NULL,
                name  TEXT NOT NULL,
                day   INTEGER,
                month INTEGER,
                PRIMARY KEY (kind, name)
            ) WITHOUT ROWID
            """,
            # `before` and `after` are [day, month] as JSON, or NULL for the site's default.
            """
            CREATE TABLE budget_changes (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                at     INTEGER NOT NULL,
                by     TEXT NOT NULL,
                kind   TEXT NOT NULL,
                name   TEXT NOT NULL,
                before TEXT,
                after  TEXT
            )
            """,
        ),
        (
            # Days whose calls are dropped, all or in part: how many runs they had. Their sums are in `daily`.
            "CREATE TABLE pruned_days (day TEXT PRIMARY KEY, runs INTEGER NOT NULL) WITHOUT ROWID",
        ),
    ),
)

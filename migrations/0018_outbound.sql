-- Adds what senders are to be told, the mail that leaves by itself, each attempt for the trace, and how the mail of one
-- account is handed on.
-- Why: a notice is written in the transaction of the outcome it speaks of, so that a crash neither loses nor doubles it.

-- kind: failed, relayed (RFC 3461 §5.2.2), delayed. result: what became of it, in words. A row stays with its message,
-- so that nothing is told twice.
CREATE TABLE notice (
    message INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('failed', 'relayed', 'delayed')),
    at INTEGER NOT NULL,
    done_at INTEGER,
    result TEXT,
    PRIMARY KEY (message, ordinal, kind)
) WITHOUT ROWID;
CREATE INDEX notice_open ON notice (at) WHERE done_at IS NULL;
-- Who wants to hear of a delay is found without reading all that waits.
CREATE INDEX recipient_asked ON recipient (message) WHERE state = 'queued' AND dsn_notify IS NOT NULL;

-- tag: names what the mail is for; the same is never made twice. Content goes when the mail has left or was given up;
-- the row stays for a while, to count mails to one domain. account and message outlive what they point at.
CREATE TABLE outgoing (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    account INTEGER,
    message INTEGER,
    recipient TEXT NOT NULL,
    domain TEXT NOT NULL,
    smtputf8 INTEGER NOT NULL,
    content BLOB,
    made_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reply TEXT,
    ended_at INTEGER,
    is_sent INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX outgoing_due ON outgoing (due_at) WHERE ended_at IS NULL;
CREATE INDEX outgoing_domain ON outgoing (domain, made_at);
CREATE INDEX outgoing_ended ON outgoing (ended_at) WHERE ended_at IS NOT NULL;

-- The first attempts for each recipient and its last one.
CREATE TABLE attempt (
    message INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    result TEXT NOT NULL,
    code INTEGER,
    reply TEXT NOT NULL,
    peer TEXT,
    tls TEXT,
    proof TEXT,
    PRIMARY KEY (message, ordinal, number)
) WITHOUT ROWID;

-- JSON (src/account/preference.rs); an account without a row has every default.
CREATE TABLE preference (
    account INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    settings TEXT NOT NULL
);

-- Adds what a flush has to know: bulk mail, known-good recipients, holds, notes before the final dot, mail that expired.
-- Why: a broken primary is told apart from a wrong address only by what it took before, and nothing may end unseen.

-- SQLite cannot change a CHECK, so the table is made again. class: 0 ordinary, 1 bulk, lists and reports.
-- ended_at: since when a recipient is refused or expired; for what was refused before, since now, so that people have
-- the whole time to look at it.
CREATE TABLE recipient_new (
    message INTEGER NOT NULL REFERENCES message (id),
    ordinal INTEGER NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    mailbox TEXT NOT NULL,
    domain TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'claimed', 'held', 'delivered', 'refused', 'expired')),
    class INTEGER NOT NULL DEFAULT 0 CHECK (class IN (0, 1)),
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    claim INTEGER,
    reply_code INTEGER,
    reply_text TEXT,
    last_attempt_at INTEGER,
    ended_at INTEGER,
    dsn_notify TEXT,
    dsn_orcpt TEXT,
    PRIMARY KEY (message, ordinal)
) WITHOUT ROWID;
INSERT INTO recipient_new (message, ordinal, account, mailbox, domain, state, due_at, attempts, claim, reply_code,
                           reply_text, last_attempt_at, ended_at, dsn_notify, dsn_orcpt)
    SELECT message, ordinal, account, mailbox, domain, state, due_at, attempts, claim, reply_code, reply_text,
           last_attempt_at, CASE state WHEN 'refused' THEN CAST(strftime('%s') AS INTEGER) * 1000000000 END, dsn_notify, dsn_orcpt
    FROM recipient;
DROP TABLE recipient;
ALTER TABLE recipient_new RENAME TO recipient;

-- Fresh mail is read by message, oldest first; delivered recipients are not in the way.
CREATE INDEX recipient_held ON recipient (account, message, ordinal, state, due_at) WHERE state <> 'delivered';
CREATE INDEX recipient_due ON recipient (account, class, due_at) WHERE state = 'queued';
CREATE INDEX recipient_delivered ON recipient (account, message) WHERE state = 'delivered';
-- The sweep of what is kept for people reads nothing else.
CREATE INDEX recipient_ended ON recipient (ended_at) WHERE state IN ('refused', 'expired');

-- Recipients that the account's primary took before; mailbox in lower case.
CREATE TABLE known_good (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    mailbox TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (account, mailbox)
) WITHOUT ROWID;
CREATE INDEX known_good_seen ON known_good (seen_at);

-- What stops a flush until a person or the primary ends it.
CREATE TABLE hold (
    account INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('operator', 'breaker')),
    reason TEXT NOT NULL,
    since INTEGER NOT NULL
);

-- One row for each open connection: the message whose final dot may have been sent. Emptied at the start.
CREATE TABLE dot_note (
    lane INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    peer TEXT NOT NULL,
    at INTEGER NOT NULL
);

-- Recipients whose time ran out and whose copy was removed after its quarantine.
ALTER TABLE tally ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;

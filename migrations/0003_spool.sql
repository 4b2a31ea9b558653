-- Adds the spool: messages, their recipients, their content in pieces, and counters that must balance with the rows.
-- Why: a message is ours from the commit that writes these rows until each recipient has reached an end.

CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    accepted_at INTEGER NOT NULL,
    reverse_path TEXT NOT NULL,
    smtputf8 INTEGER NOT NULL,
    body TEXT NOT NULL,
    trace BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    octets INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    subject TEXT NOT NULL,
    header_from TEXT NOT NULL,
    message_id TEXT NOT NULL,
    peer TEXT NOT NULL,
    helo TEXT NOT NULL,
    tls TEXT,
    delivered_at INTEGER
);
-- Lists of the operator skip what was delivered; the sweep of old envelopes reads nothing else.
CREATE INDEX message_held ON message (id) WHERE delivered_at IS NULL;
CREATE INDEX message_delivered ON message (delivered_at) WHERE delivered_at IS NOT NULL;

-- claim: which call took it, so that a report ends that claim and no other.
CREATE TABLE recipient (
    message INTEGER NOT NULL REFERENCES message (id),
    ordinal INTEGER NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id),
    mailbox TEXT NOT NULL,
    domain TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'claimed', 'delivered', 'refused')),
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    claim INTEGER,
    reply_code INTEGER,
    reply_text TEXT,
    last_attempt_at INTEGER,
    PRIMARY KEY (message, ordinal)
) WITHOUT ROWID;
-- Claims read an account's held recipients oldest first; delivered ones are not in the way.
CREATE INDEX recipient_held ON recipient (account, message, ordinal, state, due_at) WHERE state <> 'delivered';
CREATE INDEX recipient_due ON recipient (account, due_at) WHERE state = 'queued';
CREATE INDEX recipient_delivered ON recipient (account, message) WHERE state = 'delivered';

-- Pieces may be here before their message, hence no reference; those that never get one are swept at the start.
CREATE TABLE chunk (
    message INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    octets BLOB NOT NULL,
    UNIQUE (message, ordinal)
);

-- Per recipient: accepted = delivered + deleted + what the rows of the account say.
CREATE TABLE tally (
    account INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    accepted INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0
);

-- One row that is rewritten when commits without a sync have to reach the disk.
CREATE TABLE sync_mark (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    marks INTEGER NOT NULL
);
INSERT INTO sync_mark (id, marks) VALUES (1, 0);

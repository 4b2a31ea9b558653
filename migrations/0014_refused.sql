-- Adds the recipients that were refused at the door: envelopes only, for a week.
-- Why: "your server refused me" has to be looked into, and nothing else is kept of mail that was never ours.
-- The account may be gone, hence no reference.

CREATE TABLE refused_recipient (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    account INTEGER,
    peer TEXT NOT NULL,
    helo TEXT NOT NULL,
    reverse_path TEXT NOT NULL COLLATE NOCASE,
    mailbox TEXT NOT NULL COLLATE NOCASE,
    code INTEGER NOT NULL,
    reply TEXT NOT NULL
);
CREATE INDEX refused_recipient_at ON refused_recipient (at);
CREATE INDEX refused_recipient_mailbox ON refused_recipient (mailbox, at);
CREATE INDEX refused_recipient_reverse_path ON refused_recipient (reverse_path, at);

-- Adds who lives in the customers' domains: lists that they upload, and what their servers said of single addresses.
-- Why: while a customer's server is away, somebody has to know which mailboxes exist, or every dictionary attack is
-- stored and refused later, when nobody can tell the sender any more.

CREATE TABLE recipient_domain (
    domain TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    unknown TEXT NOT NULL,
    separator TEXT,
    list_at INTEGER,
    hash_key BLOB,
    PRIMARY KEY (account, domain)
) WITHOUT ROWID;

CREATE TABLE recipient_entry (
    account INTEGER NOT NULL,
    domain TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (account, domain, entry),
    FOREIGN KEY (account, domain) REFERENCES recipient_domain (account, domain) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE recipient_learned (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    is_accepted INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (account, domain, name)
) WITHOUT ROWID;

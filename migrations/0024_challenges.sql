-- Adds keys of ACME clients: each may put TXT records at one name, and do nothing else.
-- Why: a certificate for a name is had by whoever can answer for `_acme-challenge` below it (RFC 8555 §8.4); the machine
-- that renews it needs that one right and no account's token.

-- `id` is the client's word for the name (acme-dns calls it the subdomain). `networks` is a list with commas between,
-- empty for all.
CREATE TABLE challenge_key (
    id TEXT NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    user TEXT NOT NULL,
    verifier BLOB NOT NULL,
    networks TEXT NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX challenge_key_account ON challenge_key (account);

-- Values stand for some hours; they are kept so that a restart in the middle of an order fails nobody.
CREATE TABLE challenge_value (
    id TEXT NOT NULL REFERENCES challenge_key (id) ON DELETE CASCADE,
    value TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (id, value)
) WITHOUT ROWID;

-- Adds what a shared key may change by DNS updates (RFC 2136).
-- Why: a key that an ACME client holds has to open one name and one type, not a zone; without a row it changes nothing.

-- Goes with its key and with its account: whoever has the name later is not open to the key of the one before. `types` are
-- names of types with commas between, empty for all.
CREATE TABLE tsig_scope (
    tsig_key TEXT NOT NULL REFERENCES tsig_key (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    is_below INTEGER NOT NULL,
    types TEXT NOT NULL,
    PRIMARY KEY (tsig_key, name)
) WITHOUT ROWID;
CREATE INDEX tsig_scope_account ON tsig_scope (account);

-- Adds the keys by which zones are signed (DNSSEC).
-- Why: a key that a parent zone vouches for has to survive every restart, and so has the point at which its exchange stands.

-- `sealed_key` is sealed with the key beside the database. `account` is absent for the zone of the dynamic names.
CREATE TABLE zone_key (
    zone TEXT NOT NULL,
    tag INTEGER NOT NULL,
    account INTEGER REFERENCES account (id) ON DELETE CASCADE,
    sealed_key BLOB NOT NULL,
    state TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (zone, tag)
) WITHOUT ROWID;
CREATE INDEX zone_key_account ON zone_key (account);

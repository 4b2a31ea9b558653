-- Adds passkeys: public keys of devices with which people sign in.
-- Why: no password to lose, and nothing that a false page could take.

CREATE TABLE passkey (
    credential BLOB PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- COSE key.
    public_key BLOB NOT NULL,
    counter INTEGER NOT NULL,
    name TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE INDEX passkey_by_person ON passkey (person, made_at);

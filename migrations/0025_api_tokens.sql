-- Adds the tokens of the API.
-- Why: a program of the customer reads and changes what its own token opens and no more; the secret itself is kept
-- nowhere, only an image from which it cannot be made again.

-- `scopes` are words with commas between. `old_verifier` is the image of the secret before the last rotation, good until
-- `old_until`. `last_used_at` is written once an hour at most.
CREATE TABLE api_token (
    id TEXT NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    scopes TEXT NOT NULL,
    verifier BLOB NOT NULL,
    old_verifier BLOB,
    old_until INTEGER,
    made_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    rotated_at INTEGER,
    expires_at INTEGER,
    last_used_at INTEGER
) WITHOUT ROWID;
CREATE INDEX api_token_account ON api_token (account);

-- Adds updates from routers and other devices: tokens, names and where they point, and the last request of each device.
-- Why: a router that reports its address is no heartbeat; what it may set, and what it last said, is kept apart from
-- what heartbeats prove.

CREATE TABLE update_token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    host TEXT,
    verifier BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE INDEX update_token_account ON update_token (account);

-- The names of mail servers get a row with their first update; further names when they are added.
CREATE TABLE host_name (
    name TEXT NOT NULL PRIMARY KEY,
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    address_v4 TEXT,
    address_v6 TEXT,
    interface_id TEXT,
    is_withdrawn INTEGER NOT NULL,
    changed_at INTEGER
) WITHOUT ROWID;
CREATE INDEX host_name_endpoint ON host_name (endpoint);

CREATE TABLE update_policy (
    account INTEGER NOT NULL PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    expiry_s INTEGER,
    backup_mx INTEGER NOT NULL
) WITHOUT ROWID;

-- Whose word counts for a mail server: 'beats' once heartbeats came, 'updates' before.
CREATE TABLE update_role (
    endpoint INTEGER NOT NULL PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE,
    role TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE update_request (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    device TEXT NOT NULL,
    at INTEGER NOT NULL,
    peer TEXT NOT NULL,
    agent TEXT NOT NULL,
    is_encrypted INTEGER NOT NULL,
    hosts TEXT NOT NULL,
    answer TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, device)
) WITHOUT ROWID;

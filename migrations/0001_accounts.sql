-- Adds accounts, their mail servers, domains, keys and people, and the record of who changed what.
-- Why: everything that decides whose mail is taken, and by whose word, is kept in one place and changed in one step.
-- Times are nanoseconds since 1970 in UTC. Row numbers are never given twice, so that an old audit row or a
-- cached id never points at somebody else.

CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    host TEXT NOT NULL UNIQUE,
    smtp_port INTEGER NOT NULL,
    address_v4 TEXT,
    address_v6 TEXT,
    pin BLOB
);
CREATE INDEX endpoint_account ON endpoint (account);

CREATE TABLE domain (
    name TEXT NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX domain_account ON domain (account);

-- The servers of a domain, best first.
CREATE TABLE domain_endpoint (
    domain TEXT NOT NULL REFERENCES domain (name) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    PRIMARY KEY (domain, place)
) WITHOUT ROWID;
CREATE INDEX domain_endpoint_endpoint ON domain_endpoint (endpoint);

CREATE TABLE beat_key (
    locator BLOB NOT NULL PRIMARY KEY,
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    sealed_mac_keys BLOB NOT NULL,
    move_key BLOB NOT NULL,
    bearer_verifier BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX beat_key_endpoint ON beat_key (endpoint);

CREATE TABLE person (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    is_operator INTEGER NOT NULL
);

CREATE TABLE membership (
    person INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (person, account)
) WITHOUT ROWID;
CREATE INDEX membership_account ON membership (account);

CREATE TABLE sign_in_link (
    secret_hash BLOB NOT NULL PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sign_in_link_person ON sign_in_link (person);

CREATE TABLE web_session (
    secret_hash BLOB NOT NULL PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX web_session_person ON web_session (person);

-- Outlives the account it speaks of, hence no reference.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    account INTEGER,
    what TEXT NOT NULL
);
CREATE INDEX audit_account ON audit (account, id);

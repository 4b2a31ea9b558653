-- Adds the history of the lines and the last state of each.
-- Why: a transition is written once and read by everybody; the last state is needed at each start without reading
-- the whole history.

CREATE TABLE line (
    endpoint INTEGER PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    since INTEGER NOT NULL
);

-- kind 'state': from_value and to_value are states, cause and since are set, address is the proven one.
-- kind 'address': from_value and to_value are addresses.
CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    endpoint INTEGER NOT NULL REFERENCES endpoint (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    from_value TEXT,
    to_value TEXT NOT NULL,
    cause TEXT,
    since INTEGER,
    address TEXT
);
CREATE INDEX history_account ON history (account, id);
CREATE INDEX history_endpoint ON history (endpoint);

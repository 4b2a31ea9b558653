-- Adds where dynamic names last pointed, and the zones of customers with the history of their changes.
-- Why: after a restart a name goes on pointing where it did, without waiting for a greeting; and a zone is the
-- customer's own text, of which he has to see who changed what.

CREATE TABLE name_front (
    endpoint INTEGER NOT NULL PRIMARY KEY REFERENCES endpoint (id) ON DELETE CASCADE,
    address_v4 TEXT,
    address_v6 TEXT
) WITHOUT ROWID;

CREATE TABLE zone (
    name TEXT NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    serial INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX zone_account ON zone (account);

-- Owners and data in wire form without compression, in the order of the zone.
CREATE TABLE zone_record (
    zone TEXT NOT NULL REFERENCES zone (name) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    owner BLOB NOT NULL,
    type INTEGER NOT NULL,
    ttl INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (zone, place)
) WITHOUT ROWID;

CREATE TABLE zone_change (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    zone TEXT NOT NULL REFERENCES zone (name) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    serial INTEGER NOT NULL,
    what TEXT NOT NULL
);
CREATE INDEX zone_change_zone ON zone_change (zone);

-- Adds keys for signed DNS messages (TSIG), and the servers that follow a zone.
-- Why: a zone is copied to a name server elsewhere only if the operator named it; there may be several in a zone.

-- The secret is sealed with the key beside the database.
CREATE TABLE tsig_key (
    name TEXT NOT NULL PRIMARY KEY,
    sealed_secret BLOB NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- No reference to the zone: that of the dynamic names has no row.
CREATE TABLE zone_secondary (
    zone TEXT NOT NULL,
    address TEXT NOT NULL,
    tsig_key TEXT REFERENCES tsig_key (name),
    PRIMARY KEY (zone, address)
) WITHOUT ROWID;
CREATE INDEX zone_secondary_key ON zone_secondary (tsig_key);

-- What followed zones showed last, as a dynamic name changes the serial without a row of its own: after a restart it must
-- not go back, or secondaries would take nothing.
CREATE TABLE zone_served (
    zone TEXT NOT NULL PRIMARY KEY,
    serial INTEGER NOT NULL
) WITHOUT ROWID;

-- Whoever has a zone of that name later does not send it to the servers of the one before.
CREATE TRIGGER zone_secondary_gone AFTER DELETE ON zone BEGIN
    DELETE FROM zone_secondary WHERE zone = OLD.name;
    DELETE FROM zone_served WHERE zone = OLD.name;
END;

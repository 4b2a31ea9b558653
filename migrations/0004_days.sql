-- Adds what each day amounts to per account, times of which nothing is known, and the rhythm each client keeps.
-- Why: a year has to be readable in milliseconds and may not grow with every change of a line; silence that was our own
-- fault is no outage; and after a restart a client that beats each 30 s must not be judged by the rhythm of 5 s.

-- Set while the silence of the line is taken to be our own fault.
ALTER TABLE line ADD COLUMN no_data_since INTEGER;
-- The rhythm that the client was last seen to keep; absent while that is the configured one.
ALTER TABLE line ADD COLUMN interval_ms INTEGER;

-- Also in history since this step. kind 'no_data': to_value is 'begun' or 'over', since is set.
-- kind 'interval': to_value is the rhythm in milliseconds.

-- Only days (since 1970, UTC) on which something happened have a row: what was counted up to second until_s, and how
-- the account stood from there. The days between follow from the row before them.
CREATE TABLE day (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    day INTEGER NOT NULL,
    online_s INTEGER NOT NULL,
    offline_s INTEGER NOT NULL,
    no_data_s INTEGER NOT NULL,
    outages INTEGER NOT NULL,
    address_changes INTEGER NOT NULL,
    until_s INTEGER NOT NULL,
    standing TEXT NOT NULL,
    PRIMARY KEY (account, day)
) WITHOUT ROWID;

-- Accounts that are known already stand today as their best line does.
INSERT INTO day (account, day, online_s, offline_s, no_data_s, outages, address_changes, until_s, standing)
SELECT e.account, unixepoch() / 86400, 0, 0, 0, 0, 0, unixepoch() % 86400,
    CASE min(CASE l.state WHEN 'offline' THEN 1 ELSE 0 END) WHEN 0 THEN 'online' ELSE 'offline' END
FROM line AS l JOIN endpoint AS e ON e.id = l.endpoint
WHERE l.state <> 'new' GROUP BY e.account;

-- Adds the channels by which alerts reach people, and the alerts on their way.
-- Why: an alert that is on the disk before anything is sent survives a crash; a failure that is counted can be shown.

CREATE TABLE alert_channel (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- NULL for the operator.
    account INTEGER REFERENCES account (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    sealed BLOB,
    language TEXT NOT NULL,
    zone TEXT NOT NULL,
    quiet TEXT,
    delay_s INTEGER NOT NULL,
    recovery INTEGER NOT NULL,
    kinds TEXT NOT NULL,
    is_configured INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_sent_at INTEGER,
    last_error TEXT,
    last_error_at INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    failed_total INTEGER NOT NULL DEFAULT 0,
    lost_total INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX alert_channel_account ON alert_channel (account);

-- One alert for one channel. What happened is JSON.
CREATE TABLE alert_outbox (
    id INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL REFERENCES alert_channel (id) ON DELETE CASCADE,
    alert TEXT NOT NULL
);
CREATE INDEX alert_outbox_channel ON alert_outbox (channel);

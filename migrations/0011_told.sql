-- Adds why a line has its state, and of which outage somebody was told.
-- Why: an alert is told once an episode, also over a restart: a server that said goodbye before it and stays away is told
-- of when its half hour is over, and the end of an outage that was told before is told after.

ALTER TABLE line ADD COLUMN cause TEXT;
-- When the outage began that somebody was told of; absent once the line is back.
ALTER TABLE line ADD COLUMN told_since INTEGER;

-- Of outages that go on at this step the service that ran before has told.
UPDATE line SET told_since = since WHERE state = 'offline';

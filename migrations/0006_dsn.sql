-- Adds what senders want to be told of their mail (RFC 3461): RET and ENVID of a message, NOTIFY and ORCPT of a
-- recipient, without their xtext. NULL where nothing was said, as for all mail from before.
-- Why: it is passed on to the primary, and a report of ours has to keep to it.

ALTER TABLE message ADD COLUMN dsn_ret TEXT;
ALTER TABLE message ADD COLUMN dsn_envid TEXT;
ALTER TABLE recipient ADD COLUMN dsn_notify TEXT;
ALTER TABLE recipient ADD COLUMN dsn_orcpt TEXT;

-- Adds indices for the list of held mail: by group of states, by recipient, by sender.
-- Why: a page of the list comes in a few milliseconds with any filter, also over a million messages; without these a
-- rare state is found only by reading all others.

CREATE INDEX recipient_waiting ON recipient (account, message) WHERE state IN ('queued', 'claimed', 'held');
CREATE INDEX recipient_quarantined ON recipient (account, message) WHERE state IN ('refused', 'expired');
CREATE INDEX recipient_kept_back ON recipient (account, message) WHERE state = 'held';
CREATE INDEX recipient_mailbox ON recipient (account, mailbox COLLATE NOCASE, message);
CREATE INDEX message_sender ON message (reverse_path COLLATE NOCASE, id);

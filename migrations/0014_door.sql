-- Adds the account that mail for the postmaster of this host belongs to, and what a sender demands of the way.
-- Why: every mail server has a postmaster (RFC 5321, section 4.5.1), also one whose operator has not named a mailbox yet.
-- No customer's account has this row or a name with brackets; it has no server, so nothing of it is delivered.

INSERT INTO account (id, name, status, created_at, status_since) VALUES (0, '(operator)', 'active', 0, 0);

-- REQUIRETLS was said with the message (RFC 8689): it leaves over proven TLS only.
ALTER TABLE message ADD COLUMN requires_tls INTEGER NOT NULL DEFAULT 0;

-- What each primary offered in its newest reply to EHLO; NULL in smtputf8: never heard. Mail that it could never take is
-- refused at once instead of waiting for a refusal.
ALTER TABLE endpoint ADD COLUMN size_max INTEGER;
ALTER TABLE endpoint ADD COLUMN eight_bit_mime INTEGER;
ALTER TABLE endpoint ADD COLUMN smtputf8 INTEGER;

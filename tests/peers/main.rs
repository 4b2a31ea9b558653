//! Scenarios with real programs: Postfix, swaks and smtp-source as senders, Postfix and smtp-sink as primary, ddclient,
//! inadyn and curl as routers, dig, kdig, nsupdate, named-checkzone, Knot and NSD for names, lego, certbot and ourselves with Pebble for certificates, strace to count syncs, namespaces with a real router, Chromium to read the page, systemd to check the units. `tests/all peers` installs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

mod peers {
    mod amendments;
    mod api_examples;
    mod challenges;
    mod dnssec;
    mod names;
    mod namespaces;
    mod own_certificate;
    mod pebble;
    mod postfix_primary;
    mod secondaries;
    mod senders;
    mod sink;
    mod syncs;
    mod units;
    mod updaters;
    mod wrong_clock;
}

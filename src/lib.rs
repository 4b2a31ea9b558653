//! pulsemx: a backup MX that knows by heartbeat whether the customer's mail server is there.
//!
//! The rooms, in the order of their imports: a room uses only rooms above it (`tests/tidy.rs` checks this).
//!
//! | room | what it decides |
//! |---|---|
//! | [`base`] | words all rooms share: mailboxes, domain names, ids, sizes, clock |
//! | [`account`] | who may do what: accounts, endpoints, domains, people, tokens, audit |
//! | [`recipient`] | who lives in a customer's domains, and what follows for strangers |
//! | [`certificate`] | keys and certificates for TLS |
//! | [`heartbeat`] | the signed datagrams between a customer's machine and us, both ends |
//! | [`liveness`] | from beats and silence to ONLINE, SUSPECT, OFFLINE, RETURNING |
//! | [`spool`] | which states a stored message may have, who may deliver it now |
//! | [`verdict`] | what the DNS says of a sender: SPF, DKIM, DMARC, ARC |
//! | [`smtp`] | the SMTP session: what we say to a sender and when a message is ours |
//! | [`delivery`] | where a stored message goes, in what order, when again, what a reply means |
//! | [`outbound`] | what a sender is told of his mail, and how mail of our own leaves |
//! | [`update`] | what routers and other devices may set, and whether an account without beats is there |
//! | [`dns`] | what a name answers now: dynamic names, customers' zones |
//! | [`alert`] | what a person has to be told, and when |
//! | [`survey`] | what the world sees of a customer's domain, and what should stand there |
//! | [`drill`] | whether the backup works: an outage played through for one account |
//! | [`store`] | the storage engines behind the rooms' own traits |
//! | [`web`] | the customer's pages and the health of the service for machines |
//! | [`control`] | the operator's commands over a Unix socket |
//! | [`api`] | what programs of the customer may ask and change, over HTTP |
//! | [`metrics`] | figures for Prometheus |
//! | [`doctor`] | what is wrong with this installation and how to mend it |
//! | [`config`] | the configuration file as written and as used |
//! | [`server`] | joins the rooms; starts and stops them in order |
//! | [`demo`] | a day in the life of one customer, told in a minute, with the real rooms |
//!
//! Data flow, outside in:
//!
//! ```text
//! UDP datagram -> heartbeat -> liveness::Machine -> Transition -> store -> delivery (flush), web (page)
//! SMTP octets  -> smtp::Session -> smtp::admission -> spool commit -> 250 -> delivery
//! stored mail  -> verdict::Checker -> resolver -> Verdict -> store
//! spooled mail -> claim -> delivery::route -> lettre -> delivery::outcome -> delivered | again | refused
//! ```
//!
//! What decides is a plain value that takes `now` as an argument and does no I/O; sockets, files and timers
//! live in files named `driver.rs`. The client (`pulsemx-beat`) is built without the `server` feature and
//! sees [`base`] and [`heartbeat`] only.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod base;
pub mod heartbeat;

#[cfg(feature = "server")]
pub mod account;
#[cfg(feature = "server")]
pub mod alert;
#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod certificate;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod control;
#[cfg(feature = "server")]
pub mod delivery;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod dns;
#[cfg(feature = "server")]
pub mod doctor;
#[cfg(feature = "server")]
pub mod drill;
#[cfg(feature = "server")]
pub mod liveness;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod outbound;
#[cfg(feature = "server")]
pub mod recipient;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod smtp;
#[cfg(feature = "server")]
pub mod spool;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod survey;
#[cfg(feature = "server")]
pub mod update;
#[cfg(feature = "server")]
pub mod verdict;
#[cfg(feature = "server")]
pub mod web;

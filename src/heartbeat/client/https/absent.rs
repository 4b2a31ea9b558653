//! Stands for `driver.rs` in a client that was built without the feature `https`: there is never anybody to ask.

use std::net::IpAddr;
use std::path::PathBuf;

use super::Base;
use crate::base::{Moment, WallTime};
use crate::heartbeat::token::Token;

#[derive(Debug)]
#[expect(dead_code, reason = "nobody reads what nobody is asked")]
pub(in crate::heartbeat::client) enum Job {
    Beat { octets: Vec<u8>, is_v4: Option<bool> },
    Hello,
    Renew { token: Token, file: PathBuf },
}

#[derive(Debug)]
#[expect(dead_code, reason = "nothing is ever done")]
pub(in crate::heartbeat::client) enum Done {
    Answered(Vec<u8>),
    Failed(String),
    Endpoints(Vec<String>),
    Renewed(Token),
    NotRenewed(String),
}

#[derive(Clone, Debug)]
#[expect(dead_code, reason = "nobody is started")]
pub(in crate::heartbeat::client) struct Settings {
    pub(in crate::heartbeat::client) base: Base,
    pub(in crate::heartbeat::client) ca_file: Option<PathBuf>,
    pub(in crate::heartbeat::client) bind: Option<IpAddr>,
}

#[derive(Debug)]
pub(in crate::heartbeat::client) enum Asker {}

impl Asker {
    pub(in crate::heartbeat::client) fn start(_: &Settings) -> std::io::Result<Self> {
        Err(std::io::Error::other("this client was built without HTTPS"))
    }

    pub(in crate::heartbeat::client) const fn ask(&self, _: Job) -> bool {
        match *self {}
    }

    pub(in crate::heartbeat::client) const fn handle_time(&self, _: WallTime, _: Moment) {
        match *self {}
    }

    pub(in crate::heartbeat::client) const fn done(&self) -> Vec<Done> {
        match *self {}
    }
}

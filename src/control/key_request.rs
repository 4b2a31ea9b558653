//! Commands about the keys by which zones are signed: on the command line, over the socket, what they answer, and as text.

use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::print::{table, time};
use super::reply::{CommandError, Reply};
use crate::base::{DomainName, WallTime};
use crate::dns::sign::driver::{KeyError, Step};
use crate::dns::sign::{INCOMING_FOR, TTL_MAX_S};

/// Such a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "keys", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyRequest {
    /// The keys of a zone.
    Show {
        /// Which.
        zone: DomainName,
    },
    /// Sign a zone.
    Sign {
        /// Which.
        zone: DomainName,
    },
    /// Exchange its key.
    Roll {
        /// Which.
        zone: DomainName,
        /// The parent has the new DS record.
        is_done: bool,
    },
    /// Sign it no more.
    Unsign {
        /// Which.
        zone: DomainName,
        /// The parent has no DS record any more.
        is_done: bool,
    },
}

/// The keys of a zone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ZoneKeysShown {
    /// Which zone.
    pub zone: DomainName,
    /// The keys; none if it is not signed.
    pub keys: Vec<ZoneKeyShown>,
    /// What has to stand in the parent zone.
    pub ds: Vec<String>,
    /// What is to be done next, if anything, and what to mind.
    pub notes: Vec<String>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ZoneKeyShown {
    /// Short for the key.
    pub tag: u16,
    /// Where it stands.
    pub state: String,
    /// Since when.
    pub since: WallTime,
}

impl From<KeyError> for CommandError {
    fn from(error: KeyError) -> Self {
        Self::new(error.to_string())
    }
}

impl Desk {
    pub(super) async fn carry_out_keys(&self, request: KeyRequest, now: WallTime) -> Result<Reply, CommandError> {
        let absent = || CommandError::new("this server serves no names; set dns.zone in its configuration");
        let keys = self.running()?.keys.clone().ok_or_else(absent)?;
        let (zone, step) = match request {
            KeyRequest::Show { zone } => (zone, None),
            KeyRequest::Sign { zone } => (zone, Some(Step::Sign)),
            KeyRequest::Roll { zone, is_done: false } => (zone, Some(Step::Roll)),
            KeyRequest::Roll { zone, is_done: true } => (zone, Some(Step::RollDone)),
            KeyRequest::Unsign { zone, is_done: false } => (zone, Some(Step::Leave)),
            KeyRequest::Unsign { zone, is_done: true } => (zone, Some(Step::LeaveDone)),
        };
        let stored = self.names.zone(zone.clone()).await?;
        if let Some(step) = step {
            let account = stored.as_ref().map(|stored| stored.account);
            keys.step(&zone, account, step, Self::change(now)).await?;
        }
        let mut notes: Vec<String> = match step {
            Some(Step::Sign) => {
                vec!["give this DS record to the parent zone; its publication makes the zone secure".to_owned()]
            }
            Some(Step::Roll) => vec![format!(
                "not before {}: give this DS record to the parent zone in place of the old one; when it has been there for the TTL of the old one: `pulsemx zone roll {zone} --done`",
                time(now + INCOMING_FOR)
            )],
            Some(Step::Leave) => vec![format!(
                "take the DS record out of the parent zone; when it has been gone for its TTL: `pulsemx zone unsign {zone} --done`"
            )],
            Some(Step::RollDone | Step::LeaveDone) | None => Vec::new(),
        };
        let longest = stored.iter().flat_map(|stored| &stored.records).map(|record| record.ttl).max().unwrap_or(0);
        if longest > TTL_MAX_S && step.is_some() {
            notes.push(format!(
                "a TTL of {longest} s is longer than the {TTL_MAX_S} s that an exchange of keys counts on"
            ));
        }
        let held = keys.keys(&zone);
        let held = held.as_ref();
        let ds = held.map(|keys| keys.ds_lines()).transpose().map_err(|error| CommandError::new(error.to_string()))?;
        let shown = held.iter().flat_map(|keys| keys.keys()).map(|key| ZoneKeyShown {
            tag: key.tag,
            state: key.state.as_str().to_owned(),
            since: key.since,
        });
        Ok(Reply::ZoneKeys(Box::new(ZoneKeysShown { keys: shown.collect(), ds: ds.unwrap_or_default(), zone, notes })))
    }
}

/// The answer to all of these.
pub(super) fn text(shown: &ZoneKeysShown) -> String {
    if shown.keys.is_empty() {
        return format!("{} is not signed; see `pulsemx zone sign`\n", shown.zone);
    }
    let mut rows = vec![["KEY", "STATE", "SINCE"].map(str::to_owned).to_vec()];
    rows.extend(shown.keys.iter().map(|key| vec![key.tag.to_string(), key.state.clone(), time(key.since)]));
    let mut text = format!("{} is signed with ECDSA P-256\n\n{}", shown.zone, table(&rows));
    text.extend(shown.ds.iter().map(|line| format!("\n{line}\n")));
    text.extend(shown.notes.iter().map(|note| format!("\n{note}\n")));
    text
}

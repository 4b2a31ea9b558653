//! The commands about fire drills.

use serde::{Deserialize, Serialize};

use super::desk::{Desk, find};
use super::reply::{CommandError, Reply};
use crate::account::AccountName;
use crate::alert::Language;
use crate::drill::shown::DrillShown;

/// Who begins a drill by command, in the audit log.
const ACTOR: &str = "operator";

/// `pulsemx drill`
#[derive(Clone, PartialEq, Eq, Debug, clap::Args)]
pub struct DrillArguments {
    /// Account
    pub account: AccountName,
    /// Where the test message goes, in a mail domain of the account [default: postmaster]
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
}

/// A command about a drill.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "drill", rename_all = "snake_case", deny_unknown_fields)]
pub enum DrillRequest {
    /// Begins one.
    Begin {
        /// Whose.
        account: AccountName,
        /// See there.
        to: Option<String>,
    },
    /// How it goes, or how the last one ended.
    Show {
        /// Whose.
        account: AccountName,
    },
}

impl From<DrillArguments> for DrillRequest {
    fn from(DrillArguments { account, to }: DrillArguments) -> Self {
        Self::Begin { account, to }
    }
}

impl Desk {
    pub(super) async fn carry_out_drill(&self, request: DrillRequest) -> Result<Reply, CommandError> {
        let drills = &self.running()?.drills;
        let (name, record) = match request {
            DrillRequest::Begin { account: name, to } => {
                let account = find(&self.directory.load(), &name)?.id;
                let begun = drills.begin(account, to.as_deref(), ACTOR).await;
                (name, begun.map_err(|refusal| CommandError::new(refusal.to_string()))?)
            }
            DrillRequest::Show { account: name } => {
                let account = find(&self.directory.load(), &name)?.id;
                let none = || CommandError::new(format!("there was no drill of '{name}' yet"));
                let record = drills.record(account).ok_or_else(none)?;
                (name, record)
            }
        };
        Ok(Reply::Drill(Box::new(DrillShown::of(name.as_str(), &record, Language::En))))
    }
}

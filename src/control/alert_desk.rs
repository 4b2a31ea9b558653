//! Carries out the commands about channels of alerts.

use super::alert_request::AlertRequest;
use super::desk::{Desk, find};
use super::reply::{CommandError, Reply};
use crate::account::AccountName;
use crate::alert::office::{ChannelShown, NewChannel, OfficeError, shown};
use crate::alert::{AlertError, Alerts, Terms};
use crate::base::{AccountId, WallTime};

impl From<OfficeError> for CommandError {
    fn from(error: OfficeError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<AlertError> for CommandError {
    fn from(error: AlertError) -> Self {
        Self::new(error.to_string())
    }
}

impl Desk {
    pub(super) async fn carry_out_alert(&self, request: AlertRequest, now: WallTime) -> Result<Reply, CommandError> {
        match request {
            AlertRequest::Add { account, url, secret, options } => {
                let alerts = &self.running()?.alerts;
                let account = self.owner_named(account.as_ref())?;
                let mut terms = Terms::ordinary(account.is_none());
                for (name, value) in &options {
                    terms.set(name, value).map_err(CommandError::new)?;
                }
                let new = NewChannel { account, url, secret, terms };
                let added = alerts.add(new, Self::change(now)).await?;
                Ok(Reply::AlertAdded { id: added.id, key: added.key })
            }
            AlertRequest::List { account, operator } => {
                let only = self.owner_named(account.as_ref())?;
                let all = account.is_none() && !operator;
                Ok(Reply::Alerts(self.channels(|owner| all || owner == only).await?))
            }
            AlertRequest::Remove { id } => {
                let alerts = &self.running()?.alerts;
                alerts.remove(owner_of(alerts, id).await?, id, Self::change(now)).await?;
                Ok(done(format!("channel {id} is removed, with what waited for it")))
            }
            AlertRequest::Test { id } => {
                let alerts = &self.running()?.alerts;
                alerts.test(owner_of(alerts, id).await?, id).await?;
                Ok(done(format!("the test got through channel {id}")))
            }
        }
    }

    fn owner_named(&self, name: Option<&AccountName>) -> Result<Option<AccountId>, CommandError> {
        name.map(|name| find(&self.directory.load(), name).map(|account| account.id)).transpose()
    }

    pub(super) async fn channels(
        &self,
        is_wanted: impl Fn(Option<AccountId>) -> bool,
    ) -> Result<Vec<ChannelShown>, CommandError> {
        Ok(shown(&self.alerts.load_alerts().await?, &self.directory.load(), is_wanted))
    }
}

async fn owner_of(alerts: &Alerts, id: i64) -> Result<Option<AccountId>, CommandError> {
    alerts.owner(id).await?.ok_or_else(|| AlertError::NoChannel(id).into())
}

const fn done(message: String) -> Reply {
    Reply::Done { message, warnings: Vec::new() }
}

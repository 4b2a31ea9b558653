//! Channels of alerts and the outbox, in memory.

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::account::Change;
use crate::alert::store::CHANNELS_MAX;
use crate::alert::{AlertError, AlertRows, AlertStore, ChannelRow, OutboxChange, Record};
use crate::base::AccountId;

type Done<T> = Result<T, AlertError>;

impl Tables {
    /// What hangs on accounts and channels that are gone goes with them.
    pub(super) fn prune_alerts(&mut self) {
        let accounts = &self.accounts;
        self.alerts.channels.retain(|row| row.account.is_none_or(|account| accounts.contains_key(&account)));
        let channels = &self.alerts.channels;
        self.alerts.outbox.retain(|alert| channels.iter().any(|row| row.id == alert.channel));
    }
}

#[async_trait]
impl AlertStore for MemoryStore {
    async fn load_alerts(&self) -> Done<AlertRows> {
        Ok(self.tables().alerts.clone())
    }

    async fn add_channel(&self, mut channel: ChannelRow, what: String, change: Change) -> Done<i64> {
        let mut tables = self.tables();
        if channel.account.is_some_and(|account| !tables.accounts.contains_key(&account)) {
            return Err(AlertError::NoAccount);
        }
        let own = tables.alerts.channels.iter().filter(|row| row.account == channel.account && !row.is_configured);
        if own.count() >= CHANNELS_MAX {
            return Err(AlertError::Full);
        }
        let (id, account) = (tables.next_row(), channel.account);
        channel.id = id;
        channel.record = Record::default();
        tables.alerts.channels.push(channel);
        tables.note(&change, account, format!("alert.add {id} {what}"));
        Ok(id)
    }

    async fn remove_channel(&self, account: Option<AccountId>, id: i64, change: Change) -> Done<()> {
        let mut tables = self.tables();
        match tables.alerts.channels.iter().find(|row| row.id == id && row.account == account) {
            None => return Err(AlertError::NoChannel(id)),
            Some(row) if row.is_configured => return Err(AlertError::Configured(id)),
            Some(_) => {}
        }
        tables.alerts.channels.retain(|row| row.id != id);
        tables.prune_alerts();
        tables.note(&change, account, format!("alert.remove {id}"));
        Ok(())
    }

    async fn settle_configured(&self, channels: Vec<ChannelRow>) -> Done<()> {
        let mut tables = self.tables();
        tables.alerts.channels.retain(|row| !row.is_configured || channels.iter().any(|new| new.url == row.url));
        tables.prune_alerts();
        for mut channel in channels {
            let known = tables.alerts.channels.iter_mut().find(|row| row.is_configured && row.url == channel.url);
            if let Some(known) = known {
                known.terms = channel.terms;
            } else {
                channel.id = tables.next_row();
                tables.alerts.channels.push(channel);
            }
        }
        Ok(())
    }

    async fn write_outbox(&self, changes: Vec<OutboxChange>) -> Done<()> {
        let mut tables = self.tables();
        let alerts = &mut tables.alerts;
        for change in changes {
            match change {
                OutboxChange::Put(alert) => {
                    if alerts.channels.iter().any(|row| row.id == alert.channel) {
                        alerts.outbox.retain(|known| known.id != alert.id);
                        alerts.outbox.push(*alert);
                    }
                }
                OutboxChange::Drop(id) => alerts.outbox.retain(|known| known.id != id),
                OutboxChange::Note(id, record) => {
                    alerts.channels.iter_mut().filter(|row| row.id == id).for_each(|row| row.record = record.clone());
                }
            }
        }
        alerts.outbox.sort_by_key(|alert| alert.id);
        Ok(())
    }
}

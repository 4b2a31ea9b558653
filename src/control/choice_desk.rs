//! Carries out the commands about what an account chooses: its holiday, its forwarders.

use ipnet::IpNet;

use super::desk::{Desk, find};
use super::reply::{CommandError, Reply};
use crate::account::{AccountName, HOLIDAY_MAX, Holiday, checked_forwarders};
use crate::base::WallTime;
use crate::web::public::{Addresses, publish};

impl Desk {
    /// Shows the state of an account to everybody who has the address, or to nobody.
    pub(super) async fn set_public(
        &self,
        name: &AccountName,
        is_on: bool,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        let public = publish(running.people.as_ref(), account, is_on, Self::change(now)).await?;
        let url = running.public_url.trim_end_matches('/');
        let message = public.map(|public| Addresses::of(&public)).map_or_else(
            || format!("the state of {name} is not public; old addresses stay dead"),
            |Addresses { page, badge, rss, ics }| {
                format!("the state of {name} is public:\n{url}{page}\n{url}{badge}\n{url}{rss}\n{url}{ics}")
            },
        );
        Ok(Reply::Done { message, warnings: Vec::new() })
    }

    /// Says which machines pass on mail of others to the account; none: no longer any.
    pub(super) async fn set_forwarders(
        &self,
        name: &AccountName,
        networks: Vec<IpNet>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let networks = checked_forwarders(&networks).map_err(|error| CommandError::new(error.to_string()))?;
        let list = networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let words = if networks.is_empty() {
            (
                format!("account.forwarders {name} off"),
                format!("every sender of {name}'s mail is judged by its own address"),
            )
        } else {
            let said = format!(
                "mail for {name} from {list} is taken as passed on: no rates, pauses and black lists, and SPF is not asked"
            );
            (format!("account.forwarders {name} {list}"), said)
        };
        self.change_preferences(name, words, now, |chosen| chosen.forwarders = networks).await
    }

    /// Says that the account's servers stay away until then, or that the absence is over.
    pub(super) async fn set_holiday(
        &self,
        name: &AccountName,
        until: Option<WallTime>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let last = directory.preferences(find(&directory, name)?.id).holiday;
        let Some(until) = until else {
            let words = (format!("account.holiday {name} off"), format!("account {name} has no holiday"));
            return self
                .change_preferences(name, words, now, |chosen| chosen.holiday = last.map(|h| h.ended(now)))
                .await;
        };
        if until <= now {
            return Err(CommandError::new("the end of a holiday lies ahead; to end one now use --off"));
        }
        if until > now + HOLIDAY_MAX {
            let days = HOLIDAY_MAX.as_secs() / 86_400;
            return Err(CommandError::new(format!("a holiday ends in {days} days at most; say it again later")));
        }
        let end = until.format("%Y-%m-%dT%H:%MZ");
        let words = (
            format!("account.holiday {name} until {end}"),
            format!(
                "account {name} is on holiday until {end}: no alert when its server says goodbye, and the time in which \
                 its mail may wait stands still"
            ),
        );
        let holiday = Holiday::begin(last, until, now);
        self.change_preferences(name, words, now, |chosen| chosen.holiday = Some(holiday)).await
    }
}

//! Carries out the commands about what an account chooses for a time.

use super::desk::{Desk, find};
use super::reply::{CommandError, Reply};
use crate::account::{AccountName, HOLIDAY_MAX, Holiday};
use crate::base::WallTime;

impl Desk {
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

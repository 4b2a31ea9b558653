//! The command line of what an account chooses for a time: its holiday.

use chrono::{Days, NaiveDate, NaiveTime};
use clap::{ArgGroup, Args};

use super::post_request::PostRequest;
use super::request::Request;
use crate::account::AccountName;
use crate::base::WallTime;

/// `pulsemx account holiday`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("end").required(true).args(["until", "off"]))]
pub struct AccountHoliday {
    /// The account
    name: AccountName,
    /// Last day of the absence, such as 2026-12-31 (its end in UTC), or an instant such as 2026-12-31T18:00:00Z
    #[arg(long, value_parser = end_of_absence)]
    until: Option<WallTime>,
    /// It is over
    #[arg(long)]
    off: bool,
}

impl From<AccountHoliday> for Request {
    fn from(command: AccountHoliday) -> Self {
        let AccountHoliday { name, until, off: _ } = command;
        Self::Post(PostRequest::Holiday { account: name, until })
    }
}

/// A day up to its end, or an instant.
fn end_of_absence(text: &str) -> Result<WallTime, String> {
    let wrong = || "say a day such as 2026-12-31, or an instant such as 2026-12-31T18:00:00Z".to_owned();
    match text.parse::<NaiveDate>() {
        Ok(day) => {
            let after = day.checked_add_days(Days::new(1)).ok_or_else(wrong)?;
            Ok(after.and_time(NaiveTime::MIN).and_utc())
        }
        Err(_) => text.parse().map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_counts_up_to_its_end() {
        let end = |text: &str| end_of_absence(text).map(|at| at.to_rfc3339());
        assert_eq!(end("2026-12-31").unwrap(), "2027-01-01T00:00:00+00:00");
        assert_eq!(end("2026-12-31T18:00:00+01:00").unwrap(), "2026-12-31T17:00:00+00:00");
        for text in ["", "31.12.2026", "2026-02-30", "tomorrow"] {
            assert!(end(text).is_err(), "{text}");
        }
    }
}

//! The command line of what an account chooses: its holiday, its forwarders.

use chrono::{Days, NaiveDate, NaiveTime};
use clap::{ArgGroup, Args};
use ipnet::IpNet;

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

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// `pulsemx account public`
#[derive(Args, Debug)]
pub struct AccountPublic {
    /// The account
    name: AccountName,
    /// Whether it has a public page
    #[arg(value_enum)]
    switch: Switch,
}

impl From<AccountPublic> for Request {
    fn from(AccountPublic { name, switch }: AccountPublic) -> Self {
        Self::Post(PostRequest::Public { account: name, is_on: switch == Switch::On })
    }
}

/// `pulsemx account forwarders`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["networks", "off"]))]
pub struct AccountForwarders {
    /// The account
    name: AccountName,
    /// All its forwarders, such as 203.0.113.0/24; a single address is a network of one
    #[arg(value_parser = network)]
    networks: Vec<IpNet>,
    /// It has none
    #[arg(long)]
    off: bool,
}

impl From<AccountForwarders> for Request {
    fn from(command: AccountForwarders) -> Self {
        let AccountForwarders { name, networks, off: _ } = command;
        Self::Post(PostRequest::Forwarders { account: name, networks })
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<std::net::IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    let named = text.parse().ok().or_else(single);
    named.ok_or_else(|| "say a network such as 203.0.113.0/24 or 2001:db8:5::/48, or an address".to_owned())
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
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(network("::ffff:192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(network("2001:db8::/48").unwrap().to_string(), "2001:db8::/48");
        for text in ["", "web.example", "192.0.2.0/33", "10/8"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

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

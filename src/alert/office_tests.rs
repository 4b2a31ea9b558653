//! Addresses inside a served domain are refused, and no list shows a secret.

use super::*;
use crate::account::{Account, AccountStatus, Domain};
use chrono::TimeZone;

fn at(second: i64) -> WallTime {
    chrono::Utc.timestamp_opt(1_800_000_000 + second, 0).unwrap()
}

fn directory() -> Directory {
    let account = |id: i64, name: &str| Account {
        id: AccountId(id),
        name: name.parse().unwrap(),
        status: AccountStatus::Active,
        status_since: at(0),
        created_at: at(0),
        online_mode: None,
    };
    let domain = |account, name: &str| Domain {
        name: DomainName::parse(name).unwrap(),
        account: AccountId(account),
        endpoints: Vec::new(),
    };
    let domains = vec![domain(1, "firma.example"), domain(2, "zweite.example")];
    Directory::new(vec![account(1, "firma"), account(2, "zweite")], Vec::new(), domains, Vec::new())
}

#[test]
fn no_alert_goes_into_the_domain_whose_server_is_down() {
    let directory = directory();
    let check = |mailbox: &str, account: Option<i64>| {
        check_mailbox(&Mailbox::parse(mailbox, true).unwrap(), account.map(AccountId), &directory).is_ok()
    };
    assert!(!check("chef@firma.example", Some(1)));
    assert!(!check("chef@FIRMA.example", Some(1)));
    assert!(!check("chef@mail.firma.example", Some(1)));
    assert!(check("chef@zweite.example", Some(1)), "somebody else's server");
    assert!(check("chef@otherfirma.example", Some(1)));
    assert!(!check("admin@zweite.example", None), "the operator's alerts depend on no customer");
    assert!(check("admin@elsewhere.example", None));
}

#[test]
fn a_list_shows_no_secret_and_says_whom_nothing_reaches() {
    let row = |id, account: Option<i64>, failures| ChannelRow {
        id,
        account: account.map(AccountId),
        url: "gotify:https://push.example/".to_owned(),
        sealed: Some(b"s3al3d".to_vec()),
        terms: Terms::ordinary(false),
        is_configured: false,
        created_at: at(0),
        record: Record { failures, ..Record::default() },
    };
    let channels = vec![row(1, Some(1), 3), row(2, Some(1), 0), row(3, Some(2), 1), row(4, None, 2)];
    let rows = AlertRows { channels, outbox: Vec::new() };
    let all = shown(&rows, &directory(), |_| true);
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains("s3al3d") && !text.contains("115,51,97"), "{text}");
    assert!(all.iter().all(|channel| channel.has_secret));
    assert_eq!(unreached(&all), ["operator", "zweite"]);
    assert_eq!(shown(&rows, &directory(), |owner| owner == Some(AccountId(2))).len(), 1);
}

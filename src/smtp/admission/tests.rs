//! Recipients, judged.

use super::*;
use crate::account::{Account, Domain};
use crate::base::{ByteCount, DomainName, EndpointId};
use crate::smtp::path::forward_path;

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// Seconds after the accounts were made.
fn at(seconds: i64) -> WallTime {
    WallTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn directory() -> Directory {
    let account = |id, label: &str, status| Account {
        id: AccountId(id),
        name: label.parse().unwrap(),
        status,
        status_since: at(0),
        online_mode: None,
        created_at: at(0),
    };
    let domain = |id, text| Domain { name: name(text), account: AccountId(id), endpoints: vec![EndpointId(id)] };
    Directory::new(
        vec![
            account(1, "firma", AccountStatus::Active),
            account(2, "late", AccountStatus::Suspended),
            account(3, "gone", AccountStatus::Leaving),
        ],
        vec![],
        vec![domain(1, "firma.example"), domain(2, "late.example"), domain(3, "gone.example")],
        vec![],
    )
    .with_kept(
        [
            (name("odd.example"), Kept::Unreadable),
            (name("moved.example"), Kept::Retired { deferred_until: at(100) }),
            (name("firma.example"), Kept::Retired { deferred_until: at(0) }),
        ]
        .into(),
    )
}

fn everybody(_: &ServedDomain<'_>, _: &LocalPart) -> Judgement {
    Judgement::Accept
}

fn judge(path: &str, held: u64, octets: u64, postmaster: Option<&str>) -> Result<String, &'static str> {
    judge_at(at(1), path, held, octets, postmaster).map_err(|(_, enhanced)| enhanced)
}

fn judge_at(
    now: WallTime,
    path: &str,
    held: u64,
    octets: u64,
    postmaster: Option<&str>,
) -> Result<String, (u16, &'static str)> {
    let mut settings = Settings::new(name("mx.example"));
    settings.account_octets_max = ByteCount(1000);
    settings.postmaster = postmaster.map(|text| Mailbox::parse(text, false).unwrap());
    let directory = directory();
    let usage = |_| Usage { octets: held, ..Usage::default() };
    let around = Surroundings {
        directory: &directory,
        usage: &usage,
        settings: &settings,
        recipient: &everybody,
        fair_share: None,
        now,
    };
    let path = forward_path(path).unwrap();
    admit(&path, &[], octets, &around).map(|r| format!("{}:{}", r.account, r.mailbox)).map_err(|r| (r.code, r.enhanced))
}

#[test]
fn only_exactly_served_domains_are_taken() {
    assert_eq!(judge("a@firma.example", 0, 0, None), Ok("1:a@firma.example".to_owned()));
    assert_eq!(judge("a@FIRMA.example.", 0, 0, None), Ok("1:a@FIRMA.example".to_owned()));
    for path in [
        "a@other.example",
        "a@sub.firma.example",
        "a@example",
        "a@firma.example.com",
        "a@[192.0.2.1]",
        "a@xfirma.example",
    ] {
        assert_eq!(judge(path, 0, 0, None), Err("5.7.1"), "{path}");
    }
}

#[test]
fn addresses_that_name_a_route_are_refused() {
    for path in [
        "@firma.example:a@other.example",
        "@other.example:a@firma.example",
        "a%other.example@firma.example",
        "other.example!a@firma.example",
        "\"a@other.example\"@firma.example",
        "\"a\\@other.example\"@firma.example",
        "\"a\\%other.example\"@firma.example",
    ] {
        assert_eq!(judge(path, 0, 0, None), Err("5.7.1"), "{path}");
    }
}

#[test]
fn postmaster_and_abuse_of_a_customer_are_the_customers() {
    assert_eq!(judge("postmaster@firma.example", 0, 0, None), Ok("1:postmaster@firma.example".to_owned()));
    assert_eq!(judge("abuse@firma.example", 0, 0, None), Ok("1:abuse@firma.example".to_owned()));
}

#[test]
fn bare_postmaster_goes_to_the_operators_mailbox_or_is_kept_for_him() {
    assert_eq!(judge("Postmaster", 0, 0, None), Ok("0:postmaster@mx.example".to_owned()));
    assert_eq!(judge("Postmaster", 0, 0, Some("me@gone-domain.example")), Err("4.2.1"));
    for path in ["Postmaster", "POSTMASTER@mx.example", "Abuse@mx.example"] {
        assert!(judge(path, 0, 0, None).unwrap().starts_with("0:"), "{path}");
        assert_eq!(judge(path, OPERATOR_OCTETS_MAX, 1, None), Err("4.2.2"), "{path}");
        assert_eq!(judge(path, 0, 0, Some("me@firma.example")), Ok("1:me@firma.example".to_owned()), "{path}");
    }
    assert_eq!(judge("root@mx.example", 0, 0, Some("me@firma.example")), Err("5.7.1"));
}

#[test]
fn the_contract_never_bounces_mail() {
    assert!(judge("a@late.example", 0, 0, None).is_ok());
    assert_eq!(judge("a@gone.example", 0, 0, None), Err("4.3.2"));
}

#[test]
fn a_full_account_defers() {
    assert!(judge("a@firma.example", 900, 100, None).is_ok());
    assert_eq!(judge("a@firma.example", 900, 101, None), Err("4.2.2"));
    assert_eq!(judge("a@firma.example", 1000, 0, None), Err("4.2.2"));
    assert_eq!(judge("a@firma.example", 5, u64::MAX, None), Err("4.2.2"));
}

#[test]
fn a_suspended_account_is_put_off_after_a_week_and_never_refused() {
    let week = 7 * 86_400;
    assert!(judge_at(at(week), "a@late.example", 0, 0, None).is_ok());
    assert_eq!(judge_at(at(week + 1), "a@late.example", 0, 0, None), Err((450, "4.3.2")));
    assert_eq!(judge_at(at(400 * 86_400), "a@late.example", 0, 0, None), Err((450, "4.3.2")));
}

#[test]
fn a_domain_that_left_is_put_off_first_and_refused_later() {
    assert_eq!(judge_at(at(99), "a@moved.example", 0, 0, None), Err((450, "4.3.2")));
    assert_eq!(judge_at(at(100), "a@moved.example", 0, 0, None), Err((550, "5.1.2")));
    assert_eq!(judge_at(at(1), "a@gone.example", 0, 0, None), Err((450, "4.3.2")));
}

#[test]
fn nobody_is_refused_for_what_we_cannot_read() {
    assert_eq!(judge_at(at(1), "a@odd.example", 0, 0, None), Err((451, "4.3.0")));
}

#[test]
fn on_a_rather_full_disk_an_account_has_its_share_and_no_more() {
    let settings = Settings::new(name("mx.example"));
    let directory = directory();
    let usage =
        |account: AccountId| Usage { octets: if account == AccountId(1) { 900 } else { 100 }, ..Usage::default() };
    let around = Surroundings {
        directory: &directory,
        usage: &usage,
        settings: &settings,
        recipient: &everybody,
        fair_share: Some(800),
        now: at(1),
    };
    let judged = |path: &str| admit(&forward_path(path).unwrap(), &[], 0, &around).map(drop).map_err(|r| r.code);
    assert_eq!(judged("a@firma.example"), Err(452));
    assert_eq!(judged("a@late.example"), Ok(()));
}

#[test]
fn strangers_are_refused_or_put_off_as_the_customer_has_it() {
    let settings = Settings::new(name("mx.example"));
    let directory = directory();
    let usage = |_| Usage::default();
    let recipient = |served: &ServedDomain<'_>, local_part: &LocalPart| {
        assert_eq!(served.name.as_str(), "firma.example");
        match local_part.as_str() {
            "anna" => Judgement::Accept,
            "perhaps" => Judgement::Defer,
            _ => Judgement::Reject,
        }
    };
    let around = Surroundings {
        directory: &directory,
        usage: &usage,
        recipient: &recipient,
        settings: &settings,
        fair_share: None,
        now: at(1),
    };
    let judged = |path: &str| {
        let verdict = admit(&forward_path(path).unwrap(), &[], 0, &around);
        verdict.map(drop).map_err(|reply| (reply.code, reply.enhanced))
    };
    assert_eq!(judged("anna@firma.example"), Ok(()));
    assert_eq!(judged("perhaps@firma.example"), Err((450, "4.1.1")));
    assert_eq!(judged("nobody@firma.example"), Err((550, "5.1.1")));
}

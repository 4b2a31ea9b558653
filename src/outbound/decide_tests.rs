//! A test for each rule.

use super::super::sample::{at, case, recipient, spf};
use super::*;
use crate::account::{Account, AccountStatus, Domain, Endpoint};
use crate::base::{AccountId, DomainName, EndpointId};
use crate::spool::RecipientDsn;
use crate::verdict::{DkimFinding, Finding, Verdict};

fn directory() -> Directory {
    let account = Account {
        id: AccountId(1),
        name: "firma".parse().unwrap(),
        status: AccountStatus::Active,
        status_since: at(0),
        created_at: at(0),
        online_mode: None,
    };
    let endpoint = Endpoint {
        id: EndpointId(1),
        account: AccountId(1),
        host: DomainName::parse("firma.dyn.example").unwrap(),
        smtp_port: 25,
        address_v4: None,
        address_v6: None,
        pin: None,
        manners: None,
    };
    let domain = |name: &str| Domain {
        name: DomainName::parse(name).unwrap(),
        account: AccountId(1),
        endpoints: vec![EndpointId(1)],
    };
    Directory::new(vec![account], vec![endpoint], vec![domain("firma.example"), domain("zweite.example")], Vec::new())
}

fn decide_at(case: &Case, second: i64) -> Decision {
    decide(case, Around { directory: &directory(), made_for_domain: 0, cap: 20, now: at(second) })
}

fn why(case: &Case) -> Option<Silence> {
    match decide_at(case, 61) {
        Decision::Settled { told, silent } => {
            assert_eq!(told.is_empty(), !silent.is_empty(), "{silent:?}");
            silent.first().map(|(_, silence)| *silence)
        }
        Decision::Wait => panic!("nothing to wait for"),
    }
}

fn sender(path: &str) -> ReversePath {
    ReversePath::parse(path, false).unwrap()
}

#[test]
fn an_authenticated_sender_is_told_and_nobody_else() {
    assert_eq!(why(&case()), None);
    let unchecked = Case { verdict: Some(Verdict::default()), ..case() };
    assert_eq!(why(&unchecked), Some(Silence::NotAuthenticated));
    let other = Case { verdict: Some(spf("other.example")), ..case() };
    assert_eq!(why(&other), Some(Silence::NotAuthenticated));
}

#[test]
fn a_report_about_a_report_is_never_sent() {
    assert_eq!(why(&Case { reverse_path: ReversePath::Null, ..case() }), Some(Silence::NullSender));
    let literal = Case { reverse_path: sender("a@[192.0.2.1]"), verdict: Some(spf("[192.0.2.1]")), ..case() };
    assert_eq!(why(&literal), Some(Silence::NoName));
}

#[test]
fn automatic_list_and_bulk_mail_is_not_answered() {
    assert_eq!(why(&Case { is_automatic: true, ..case() }), Some(Silence::Automatic));
}

#[test]
fn any_field_of_a_list_names_one() {
    assert!(is_of_a_list(b"From: a@b.example\r\nlist-post: <mailto:x@y.example>\r\n\r\n"));
    assert!(!is_of_a_list(b"From: a@b.example\r\nSubject: list-post\r\nListen: x\r\n\r\n"));
}

#[test]
fn what_the_sender_asked_for_decides() {
    let asked = |word: &str, kind: NoticeKind| {
        let mut case = case();
        case.kind = kind;
        case.recipients[0].dsn = RecipientDsn { notify: word.parse().ok(), original_recipient: None };
        if kind != NoticeKind::Failed {
            case.recipients[0].state = RecipientState::Queued;
        }
        why(&case)
    };
    for kind in NoticeKind::ALL {
        assert_eq!(asked("NEVER", kind), Some(Silence::NotAsked));
    }
    assert_eq!(asked("SUCCESS,DELAY", NoticeKind::Failed), Some(Silence::NotAsked));
    assert_eq!(asked("FAILURE", NoticeKind::Failed), None);
    assert_eq!(asked("SUCCESS", NoticeKind::Relayed), None);
    assert_eq!(asked("", NoticeKind::Relayed), Some(Silence::NotAsked));
    assert_eq!(asked("DELAY", NoticeKind::Delayed), None);
    assert_eq!(asked("", NoticeKind::Delayed), Some(Silence::NotAsked));
}

#[test]
fn nothing_goes_into_a_domain_of_the_same_account_even_if_signed() {
    let signature = |domain: &str| Verdict {
        dkim: vec![DkimFinding { finding: Finding::Pass, domain: domain.to_owned(), selector: "s".to_owned() }],
        ..Verdict::default()
    };
    for domain in ["firma.example", "zweite.example", "firma.dyn.example"] {
        let case = Case { reverse_path: sender(&format!("chef@{domain}")), verdict: Some(signature(domain)), ..case() };
        assert_eq!(why(&case), Some(Silence::OwnDomain), "{domain}");
    }
    // A domain that has left is still that of the recipient.
    let mut left = Case { reverse_path: sender("a@alt.example"), verdict: Some(spf("alt.example")), ..case() };
    left.recipients = vec![recipient(0, "b@alt.example", 550, "5.1.1 no")];
    assert_eq!(why(&left), Some(Silence::OwnDomain));
}

#[test]
fn a_forwarder_that_rewrote_the_sender_is_believed_by_its_signature_only() {
    let mut case = Case { reverse_path: sender("SRS0=ab=cd=x.example=a@sender.example"), ..case() };
    assert_eq!(why(&case), Some(Silence::NotAuthenticated));
    case.verdict = Some(Verdict {
        dkim: vec![DkimFinding {
            finding: Finding::Pass,
            domain: "sender.example".to_owned(),
            selector: "s".to_owned(),
        }],
        ..Verdict::default()
    });
    assert_eq!(why(&case), None);
}

#[test]
fn spam_and_policy_are_not_spoken_of() {
    let refused = |code: u16, text: &str| {
        let mut case = case();
        case.recipients = vec![recipient(0, "bob@firma.example", code, text)];
        why(&case)
    };
    for (code, text) in [(550, "5.7.1 spam"), (554, "looks like spam"), (550, "5.1.8 bad sender"), (553, "5.7.0 no")] {
        assert_eq!(refused(code, text), Some(Silence::Policy), "{code} {text}");
    }
    assert_eq!(refused(530, "5.7.0 STARTTLS first"), Some(Silence::Policy));
    assert_eq!(refused(530, "login first"), Some(Silence::Ours));
    for (code, text) in [(550, "5.1.1 unknown"), (552, "5.3.4 too big"), (550, "no such user"), (554, "5.6.1 no")] {
        assert_eq!(refused(code, text), None, "{code} {text}");
    }
}

#[test]
fn our_own_fault_is_not_told_but_a_message_given_up_is() {
    let said = |text: &str| {
        let mut case = case();
        case.recipients[0].reply = Some(DeliveryReply { code: None, text: text.to_owned() });
        why(&case)
    };
    assert_eq!(said("stored content is damaged"), Some(Silence::Ours));
    assert_eq!(said("the stored content has a CR or LF of its own"), Some(Silence::Ours));
    assert_eq!(said("given up by a person"), None);
    assert_eq!(said("5.6.7 the mail server does not offer SMTPUTF8"), None);
}

#[test]
fn expired_mail_is_told_whatever_the_last_words_were() {
    let mut case = case();
    case.recipients[0].state = RecipientState::Expired;
    case.recipients[0].reply = Some(DeliveryReply { code: Some(451), text: "4.7.1 greylisted".to_owned() });
    assert_eq!(why(&case), None);
}

#[test]
fn one_report_waits_for_the_other_recipients_but_not_for_ever() {
    let mut case = case();
    case.recipients.push(recipient(3, "eve@firma.example", 550, "5.7.1 spam"));
    case.is_unfinished = true;
    assert_eq!(decide_at(&case, 61), Decision::Wait);
    let both = Decision::Settled { told: vec![0], silent: vec![(3, Silence::Policy)] };
    assert_eq!(decide_at(&case, 60 + 15 * 60), both);
    case.is_unfinished = false;
    assert_eq!(decide_at(&case, 61), both);
}

#[test]
fn a_check_is_waited_for_but_not_for_ever() {
    let case = Case { verdict: None, ..case() };
    assert_eq!(decide_at(&case, 61), Decision::Wait);
    let settled = Decision::Settled { told: Vec::new(), silent: vec![(0, Silence::NotChecked)] };
    assert_eq!(decide_at(&case, 60 + 10 * 60), settled);
}

#[test]
fn one_domain_hears_so_much_in_an_hour_and_nothing_old() {
    let around =
        |made_for_domain| decide(&case(), Around { directory: &directory(), made_for_domain, cap: 20, now: at(61) });
    assert_eq!(around(19), Decision::Settled { told: vec![0], silent: Vec::new() });
    assert_eq!(around(20), Decision::Settled { told: Vec::new(), silent: vec![(0, Silence::TooMany)] });
    let late = Decision::Settled { told: Vec::new(), silent: vec![(0, Silence::TooOld)] };
    assert_eq!(decide_at(&case(), 60 + 5 * 86_400), late);
}

#[test]
fn enhanced_codes_are_told_from_other_words() {
    assert_eq!(enhanced("5.1.1 unknown"), Some("5.1.1"));
    for text in ["1.2.3.4 is listed", "no", "5.1 x", "5.1.1111 x", ""] {
        assert_eq!(enhanced(text), None, "{text}");
    }
}

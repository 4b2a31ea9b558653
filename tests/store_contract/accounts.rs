//! Accounts, domains, keys, people.

use pulsemx::account::{
    AccountError, AccountStatus, BeatKeyRecord, Kept, LEAVING_FOR, Manners, OnlineMode, Role, SignInLink,
};
use pulsemx::base::{AccountId, DomainName, EndpointId};
use pulsemx::update::{HostName, UpdateError};

use crate::engine::{
    Engine, account, at, change, claim, delivered, for_each_engine, key, message, name, new_account, refused, report,
};

for_each_engine! {
    an_account_is_there_with_all_its_parts_after_a_restart,
    what_a_server_offers_is_there_after_a_restart,
    names_of_accounts_and_domains_are_unique,
    the_host_of_an_account_may_be_listed_as_its_domain,
    a_refused_change_leaves_nothing_behind,
    an_account_with_mail_is_not_removed,
    a_removed_account_leaves_no_key_to_its_name,
    a_status_keeps_its_beginning,
    what_an_account_wants_while_its_server_is_there_is_kept,
    a_domain_that_went_is_put_off_for_a_month_and_may_come_back,
    a_dynamic_name_that_pointed_somewhere_is_nobody_elses_ever,
    a_rotated_key_is_valid_until_it_expires,
    a_revocation_reaches_every_older_key,
    nobody_gains_rights_by_the_name_of_an_account,
    a_link_is_redeemed_once_and_in_time,
    the_audit_log_is_newest_first,
}

async fn an_account_is_there_with_all_its_parts_after_a_restart(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let store = engine.store();
    store.add_domain(firma, name("zwei.example"), vec![endpoint], change(1)).await.unwrap();
    store.add_domain(firma, name("drei.example"), vec![endpoint], change(2)).await.unwrap();
    store.remove_domain(firma, name("drei.example"), change(3)).await.unwrap();
    engine.restart();
    let directory = engine.store().load_directory(at(9)).await.unwrap();
    let known = directory.account_named("firma").unwrap();
    assert_eq!((known.id, known.created_at), (firma, at(0)));
    let domains: Vec<&str> = directory.domains_of(firma).iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(domains, ["firma.dyn.example", "firma.example", "zwei.example"]);
    assert_eq!(directory.served(&name("zwei.example")).unwrap().endpoints, [endpoint]);
    let mut expected = key(1);
    expected.endpoint = endpoint;
    assert_eq!(directory.beat_keys(), [expected]);
    let owner = engine.store().owner_of(firma).await.unwrap().unwrap();
    let (person, places) = engine.store().person(owner).await.unwrap().unwrap();
    assert_eq!((person.name.as_str(), person.is_operator, places[0].role), ("firma (owner)", false, Role::Owner));
}

async fn names_of_accounts_and_domains_are_unique(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    let (other, other_endpoint) = account(store, "other", 2).await;
    let again = store.create_account(new_account("firma", 3), change(1)).await;
    assert!(matches!(again, Err(AccountError::NameTaken(_))), "{again:?}");
    for taken in ["firma.example", "firma.dyn.example"] {
        let theirs = store.add_domain(other, name(taken), vec![other_endpoint], change(1)).await;
        assert!(matches!(theirs, Err(AccountError::DomainTaken(_))), "{taken}");
        let mut new = new_account("third", 4);
        new.host = name(taken);
        let hosted = store.create_account(new, change(1)).await;
        assert!(matches!(hosted, Err(AccountError::DomainTaken(_))), "{taken}");
        let mut new = new_account("third", 4);
        new.domains.push(name(taken));
        assert!(matches!(store.create_account(new, change(1)).await, Err(AccountError::DomainTaken(_))), "{taken}");
    }
    let twice = store.add_domain(firma, name("firma.example"), vec![endpoint], change(1)).await;
    assert!(matches!(twice, Err(AccountError::DomainTaken(_))));
    let not_there = store.remove_domain(other, name("firma.example"), change(1)).await;
    assert!(matches!(not_there, Err(AccountError::NoDomain(_))));
}

async fn the_host_of_an_account_may_be_listed_as_its_domain(engine: Engine) {
    let store = engine.store();
    let mut new = new_account("firma", 1);
    new.domains.push(new.host.clone());
    let (firma, endpoint) = store.create_account(new, change(0)).await.unwrap();
    store.add_domain(firma, name("firma.dyn.example"), vec![endpoint], change(1)).await.unwrap();
    assert_eq!(store.load_directory(at(2)).await.unwrap().domains_of(firma).len(), 2);
}

async fn a_refused_change_leaves_nothing_behind(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    let same_key = store.create_account(new_account("other", 1), change(1)).await;
    assert!(matches!(same_key, Err(AccountError::Engine(_))), "{same_key:?}");
    let foreign = store.add_domain(firma, name("a.example"), vec![endpoint, EndpointId(999)], change(1)).await;
    assert!(foreign.is_err());
    assert!(store.add_domain(firma, name("b.example"), Vec::new(), change(1)).await.is_err());
    let directory = store.load_directory(at(2)).await.unwrap();
    assert_eq!(directory.accounts().len(), 1);
    assert_eq!(directory.domains_of(firma).len(), 2);
    assert_eq!(store.audit(None, 10).await.unwrap().len(), 1);
}

async fn an_account_with_mail_is_not_removed(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    store.intake_commit(message(1, &[(firma, "a@firma.example")])).await.unwrap();
    store.intake_commit(message(2, &[(firma, "a@firma.example")])).await.unwrap();
    let held = store.remove_account(firma, change(1)).await;
    assert!(matches!(held, Err(AccountError::MailHeld { messages: 2 })), "{held:?}");
    claim(store, firma, 9).await;
    report(store, 1, &[(0, delivered())], 9).await;
    report(store, 2, &[(0, refused())], 9).await;
    let held = store.remove_account(firma, change(1)).await;
    assert!(matches!(held, Err(AccountError::MailHeld { messages: 1 })), "{held:?}");
}

async fn a_removed_account_leaves_no_key_to_its_name(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let (other, _) = account(store, "other", 2).await;
    let both = [(firma, "a@firma.example"), (other, "b@other.example")];
    store.intake_commit(message(1, &both)).await.unwrap();
    store.intake_commit(message(2, &both[..1])).await.unwrap();
    claim(store, firma, 9).await;
    report(store, 1, &[(0, delivered())], 9).await;
    report(store, 2, &[(0, delivered())], 9).await;
    let owner = store.owner_of(firma).await.unwrap().unwrap();
    let link = SignInLink { secret_hash: [1; 32], person: owner, expires_at: at(100) };
    store.add_link(link, change(2)).await.unwrap();
    store.redeem_link([1; 32], [2; 32], at(100), at(3)).await.unwrap();
    store.remove_account(firma, change(10)).await.unwrap();
    assert_eq!(store.session([2; 32], at(11)).await.unwrap(), None);
    assert_eq!(store.person(owner).await.unwrap(), None);
    assert_eq!(store.show(message(2, &[]).id).await.unwrap(), None);
    let left = store.show(message(1, &[]).id).await.unwrap().unwrap();
    assert_eq!(left.row.recipients.iter().map(|r| r.account).collect::<Vec<_>>(), [other]);
    let (again, _) = account(store, "firma", 1).await;
    assert_ne!(again, firma);
    assert!(store.owner_of(again).await.unwrap().is_some());
    assert_eq!(store.tally(firma).await.unwrap(), pulsemx::spool::Tally::default());
    assert!(matches!(store.remove_account(firma, change(11)).await, Err(AccountError::NoAccount)));
}

async fn what_an_account_wants_while_its_server_is_there_is_kept(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    for (second, mode) in [(1, Some(OnlineMode::Defer)), (2, Some(OnlineMode::Defer)), (3, None)] {
        engine.store().set_online_mode(firma, mode, change(second)).await.unwrap();
        engine.restart();
        let directory = engine.store().load_directory(at(9)).await.unwrap();
        assert_eq!(directory.account(firma).unwrap().online_mode, mode);
    }
    let audit = engine.store().audit(Some(firma), 10).await.unwrap();
    let said: Vec<&str> =
        audit.iter().map(|row| row.what.as_str()).filter(|what| what.starts_with("account.online")).collect();
    assert_eq!(said, ["account.online firma default", "account.online firma defer"]);
    let nobody = engine.store().set_online_mode(AccountId(999), None, change(4)).await;
    assert!(matches!(nobody, Err(AccountError::NoAccount)));
}

async fn a_status_keeps_its_beginning(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    for second in [10, 20] {
        store.set_status(firma, AccountStatus::Leaving, change(second)).await.unwrap();
    }
    let directory = store.load_directory(at(30)).await.unwrap();
    let known = directory.account(firma).unwrap();
    assert_eq!((known.status, known.status_since, known.created_at), (AccountStatus::Leaving, at(10), at(0)));
    let audit = store.audit(Some(firma), 10).await.unwrap();
    assert_eq!(audit.iter().filter(|row| row.what == "account.status firma leaving").count(), 1);
    let nobody = store.set_status(AccountId(999), AccountStatus::Active, change(1)).await;
    assert!(matches!(nobody, Err(AccountError::NoAccount)));
}

async fn a_domain_that_went_is_put_off_for_a_month_and_may_come_back(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    let (other, others) = account(store, "other", 2).await;
    let domain = name("firma.example");
    store.remove_domain(firma, domain.clone(), change(10)).await.unwrap();
    let kept = store.load_directory(at(11)).await.unwrap().kept(&domain);
    assert_eq!(kept, Some(Kept::Retired { deferred_until: at(10) + LEAVING_FOR }));
    store.add_domain(other, domain.clone(), vec![others], change(20)).await.unwrap();
    let directory = store.load_directory(at(21)).await.unwrap();
    assert_eq!((directory.kept(&domain), directory.served(&domain).unwrap().account.id), (None, other));
    store.remove_domain(other, domain.clone(), change(30)).await.unwrap();
    store.add_domain(firma, domain, vec![endpoint], change(40)).await.unwrap();
}

async fn a_dynamic_name_that_pointed_somewhere_is_nobody_elses_ever(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    let (other, others) = account(store, "other", 2).await;
    let further = name("web.dyn.example");
    store.add_host(HostName::new(further.clone(), firma, endpoint), change(1)).await.unwrap();
    let pointed = |name: &DomainName| {
        let mut host = HostName::new(name.clone(), firma, endpoint);
        (host.address_v4, host.changed_at) = (Some("203.0.113.7".parse().unwrap()), Some(at(2)));
        host
    };
    store.set_hosts(vec![pointed(&further)]).await.unwrap();
    store.remove_host(firma, further.clone(), change(3)).await.unwrap();
    let theirs = HostName::new(further.clone(), other, others);
    assert!(matches!(store.add_host(theirs.clone(), change(4)).await, Err(UpdateError::NameRetired(_))));
    store.add_host(HostName::new(further.clone(), firma, endpoint), change(5)).await.unwrap();
    store.set_hosts(vec![pointed(&name("firma.dyn.example"))]).await.unwrap();
    store.remove_account(firma, change(6)).await.unwrap();
    assert!(matches!(store.add_host(theirs, change(7)).await, Err(UpdateError::NameRetired(_))));
    let again = store.create_account(new_account("firma", 3), change(8)).await;
    assert!(matches!(again, Err(AccountError::NameRetired(_))), "{again:?}");
    let as_domain = store.add_domain(other, name("firma.dyn.example"), vec![others], change(9)).await;
    assert!(matches!(as_domain, Err(AccountError::NameRetired(_))), "{as_domain:?}");
    let kept = store.load_directory(at(10)).await.unwrap().kept(&name("firma.dyn.example"));
    assert_eq!(kept, Some(Kept::Retired { deferred_until: at(6) }));
    let domain = store.load_directory(at(10)).await.unwrap().kept(&name("firma.example"));
    assert_eq!(domain, Some(Kept::Retired { deferred_until: at(6) }));
}

async fn a_rotated_key_is_valid_until_it_expires(engine: Engine) {
    let store = engine.store();
    let (_, endpoint) = account(store, "firma", 1).await;
    let mut second = key(2);
    second.endpoint = endpoint;
    store.rotate_key(second.clone(), at(50), change(10)).await.unwrap();
    let directory = store.load_directory(at(49)).await.unwrap();
    assert_eq!(directory.beat_keys().len(), 2);
    assert!(directory.beat_keys().iter().any(|known| known.locator == [1; 8] && known.expires_at == Some(at(50))));
    assert_eq!(store.load_directory(at(50)).await.unwrap().beat_keys(), [second.clone()]);
    second.endpoint = EndpointId(999);
    second.locator = [3; 8];
    assert!(matches!(store.rotate_key(second, at(50), change(10)).await, Err(AccountError::NoAccount)));
}

async fn a_revocation_reaches_every_older_key(engine: Engine) {
    let store = engine.store();
    let (_, endpoint) = account(store, "firma", 1).await;
    for (locator, until) in [(2, 500), (3, 20)] {
        let next = BeatKeyRecord { endpoint, ..key(locator) };
        store.rotate_key(next, at(until), change(10)).await.unwrap();
    }
    let left =
        |directory: pulsemx::account::Directory| directory.beat_keys().iter().map(|k| k.locator[0]).collect::<Vec<_>>();
    assert_eq!(left(store.load_directory(at(19)).await.unwrap()).len(), 3);
    assert_eq!(left(store.load_directory(at(20)).await.unwrap()), [3], "the first key outlived the second revocation");
}

async fn nobody_gains_rights_by_the_name_of_an_account(engine: Engine) {
    let store = engine.store();
    let operator = store.ensure_person("operator", true, change(0)).await.unwrap();
    let (named_so, _) = account(store, "operator", 1).await;
    let owner = store.owner_of(named_so).await.unwrap().unwrap();
    assert_ne!(owner, operator);
    let (person, places) = store.person(owner).await.unwrap().unwrap();
    assert!(!person.is_operator && places.len() == 1, "{person:?}");
    assert!(store.ensure_person("operator", false, change(1)).await.is_err());
    assert_eq!(store.ensure_person("operator", true, change(1)).await.unwrap(), operator);
}

async fn a_link_is_redeemed_once_and_in_time(mut engine: Engine) {
    let store = engine.store();
    let person = store.ensure_person("ops", true, change(0)).await.unwrap();
    assert_eq!(store.ensure_person("ops", true, change(1)).await.unwrap(), person);
    for (secret, ends) in [(1, 10), (2, 10)] {
        let link = SignInLink { secret_hash: [secret; 32], person, expires_at: at(ends) };
        store.add_link(link.clone(), change(0)).await.unwrap();
        assert!(matches!(store.add_link(link, change(0)).await, Err(AccountError::LinkSpent)));
    }
    let late = store.redeem_link([1; 32], [8; 32], at(99), at(10)).await;
    assert!(matches!(late, Err(AccountError::LinkSpent)), "{late:?}");
    assert_eq!(store.redeem_link([2; 32], [9; 32], at(99), at(9)).await.unwrap(), person);
    let again = store.redeem_link([2; 32], [7; 32], at(99), at(9)).await;
    assert!(matches!(again, Err(AccountError::LinkSpent)), "{again:?}");
    engine.restart();
    let store = engine.store();
    assert_eq!(store.session([9; 32], at(98)).await.unwrap().unwrap().person, person);
    assert_eq!(store.session([9; 32], at(99)).await.unwrap(), None);
    assert_eq!(store.session([7; 32], at(9)).await.unwrap(), None);
    store.end_session([9; 32]).await.unwrap();
    assert_eq!(store.session([9; 32], at(98)).await.unwrap(), None);
}

async fn the_audit_log_is_newest_first(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let (other, _) = account(store, "other", 2).await;
    let person = store.ensure_person("viewer", false, change(5)).await.unwrap();
    store.set_membership(person, firma, Role::Viewer, change(6)).await.unwrap();
    store.set_membership(person, firma, Role::Technician, change(7)).await.unwrap();
    let what = |rows: Vec<pulsemx::account::AuditEntry>| rows.into_iter().map(|row| row.what).collect::<Vec<_>>();
    assert_eq!(
        what(store.audit(Some(firma), 10).await.unwrap()),
        ["membership.set viewer technician", "membership.set viewer viewer", "account.add firma"]
    );
    assert_eq!(what(store.audit(Some(other), 10).await.unwrap()), ["account.add other"]);
    assert_eq!(what(store.audit(None, 1).await.unwrap()), ["membership.set viewer technician"]);
    let (_, places) = store.person(person).await.unwrap().unwrap();
    assert_eq!(places.iter().map(|place| place.role).collect::<Vec<_>>(), [Role::Technician]);
}

async fn what_a_server_offers_is_there_after_a_restart(mut engine: Engine) {
    let (_, endpoint) = account(engine.store(), "firma", 1).await;
    let known = |directory: pulsemx::account::Directory| directory.endpoint(endpoint).unwrap().manners;
    assert_eq!(known(engine.store().load_directory(at(2)).await.unwrap()), None);
    for octets_max in [Some(35_000_000), None] {
        let manners = Manners { octets_max, eight_bit_mime: true, smtputf8: false };
        engine.store().set_manners(endpoint, manners).await.unwrap();
        engine.restart();
        assert_eq!(known(engine.store().load_directory(at(2)).await.unwrap()), Some(manners));
    }
    let nobody = Manners { octets_max: None, eight_bit_mime: false, smtputf8: false };
    assert!(engine.store().set_manners(EndpointId(4_711), nobody).await.is_err());
}

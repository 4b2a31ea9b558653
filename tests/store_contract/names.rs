//! What names point at, and customers' zones.

use pulsemx::base::{AccountId, EndpointId};
use pulsemx::dns::amend::scope::{SCOPES_PER_KEY_MAX, StoredScope};
use pulsemx::dns::front::Front;
use pulsemx::dns::owner::Owner;
use pulsemx::dns::store::{CHANGES_PER_ZONE_MAX, SECONDARIES_PER_ZONE_MAX, ZONES_PER_ACCOUNT_MAX};
use pulsemx::dns::{NameError, StoredKey, StoredSecondary, StoredZone, ZoneChange, zone_file};

use crate::engine::{Engine, account, at, change, for_each_engine, name, new_account};

for_each_engine! {
    what_names_point_at_survives_a_restart_and_goes_with_the_server,
    a_zone_is_kept_whole_with_its_history,
    a_zone_belongs_to_one_account_and_their_number_is_bounded,
    of_many_changes_the_newest_are_kept,
    a_key_is_kept_until_nobody_signs_with_it,
    secondaries_go_with_their_zone_and_are_bounded,
    what_a_key_may_change_goes_with_the_key_and_with_the_account,
    one_zone_is_read_alone,
}

fn front(last: u8) -> Front {
    Front { v4: Some([203, 0, 113, last].into()), v6: Some("2001:db8::7".parse().unwrap()) }
}

fn zone(apex: &str, account: AccountId, serial: u32) -> StoredZone {
    let text = format!(
        "@ 60 IN SOA mx2.example.net. root.{apex}. {serial} 1 2 3 4\n@ 60 IN NS mx2.example.net.\n\
         @ 60 IN TXT \"a \\\" b\" c\n*.w 60 IN A 203.0.113.9\n_25._tcp 60 IN TLSA 3 1 1 d2abde\n"
    );
    let records = zone_file::read(&text, &Owner::of_domain(&name(apex))).unwrap();
    StoredZone { apex: name(apex), account, serial, records }
}

fn put(second: i64, serial: u32) -> ZoneChange {
    ZoneChange {
        at: at(second),
        who: "operator".to_owned(),
        why: "moved".to_owned(),
        serial,
        what: "+ a\n- b".to_owned(),
    }
}

async fn what_names_point_at_survives_a_restart_and_goes_with_the_server(mut engine: Engine) {
    let (one, endpoint) = account(engine.store(), "firma", 1).await;
    let (_, other) = engine.store().create_account(new_account("zweite", 2), change(1)).await.unwrap();
    engine.store().set_fronts(vec![(endpoint, front(7)), (other, front(8)), (EndpointId(99), front(9))]).await.unwrap();
    engine.store().set_fronts(vec![(other, Front::PARKED)]).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().load_fronts().await.unwrap(), [(endpoint, front(7))]);
    engine.store().remove_account(one, change(9)).await.unwrap();
    assert_eq!(engine.store().load_fronts().await.unwrap(), []);
}

async fn a_zone_is_kept_whole_with_its_history(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let mut stored = zone("firma.example", one, 5);
    engine.store().put_zone(stored.clone(), put(1, 5)).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().load_zones().await.unwrap(), [stored.clone()]);
    stored.records.truncate(3);
    stored.serial = 6;
    engine.store().put_zone(stored.clone(), put(2, 6)).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().load_zones().await.unwrap(), [stored]);
    assert_eq!(engine.store().zone_changes(name("firma.example"), 9).await.unwrap(), [put(2, 6), put(1, 5)]);
    assert_eq!(engine.store().zone_changes(name("firma.example"), 1).await.unwrap(), [put(2, 6)]);
    let audit = engine.store().audit(Some(one), 9).await.unwrap();
    assert!(audit.iter().any(|row| row.what == "zone.put firma.example serial 6"), "{audit:?}");
    engine.store().remove_account(one, change(9)).await.unwrap();
    assert_eq!(engine.store().load_zones().await.unwrap(), []);
    assert_eq!(engine.store().zone_changes(name("firma.example"), 9).await.unwrap(), []);
}

async fn a_zone_belongs_to_one_account_and_their_number_is_bounded(engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = engine.store().create_account(new_account("zweite", 2), change(1)).await.unwrap();
    engine.store().put_zone(zone("firma.example", one, 1), put(1, 1)).await.unwrap();
    let stolen = engine.store().put_zone(zone("firma.example", other, 2), put(2, 2)).await;
    assert!(matches!(stolen, Err(NameError::ZoneTaken(_))), "{stolen:?}");
    let nobody = engine.store().put_zone(zone("x.example", AccountId(99), 2), put(2, 2)).await;
    assert!(matches!(nobody, Err(NameError::NoAccount)), "{nobody:?}");
    let wrong = engine.store().remove_zone(other, name("firma.example"), change(3)).await;
    assert!(matches!(wrong, Err(NameError::NoZone(_))), "{wrong:?}");
    for n in 1..ZONES_PER_ACCOUNT_MAX {
        engine.store().put_zone(zone(&format!("z{n}.example"), one, 1), put(1, 1)).await.unwrap();
    }
    let full = engine.store().put_zone(zone("one-more.example", one, 1), put(1, 1)).await;
    assert!(matches!(full, Err(NameError::Full(ZONES_PER_ACCOUNT_MAX))), "{full:?}");
    engine.store().put_zone(zone("firma.example", one, 9), put(4, 9)).await.unwrap();
    engine.store().remove_zone(one, name("firma.example"), change(5)).await.unwrap();
    engine.store().put_zone(zone("firma.example", other, 2), put(6, 2)).await.unwrap();
    let held = engine.store().remove_account(other, change(7)).await;
    assert!(held.is_ok(), "a zone is nothing to be kept: {held:?}");
    assert_eq!(engine.store().load_directory(at(8)).await.unwrap().account(other), None);
}

async fn of_many_changes_the_newest_are_kept(engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let most = u32::try_from(CHANGES_PER_ZONE_MAX).unwrap();
    for serial in 1..=most + 5 {
        engine.store().put_zone(zone("firma.example", one, serial), put(i64::from(serial), serial)).await.unwrap();
    }
    let kept = engine.store().zone_changes(name("firma.example"), 10_000).await.unwrap();
    assert_eq!((kept.len(), kept[0].serial, kept.last().unwrap().serial), (CHANGES_PER_ZONE_MAX, most + 5, 6));
}

fn key(text: &str) -> StoredKey {
    StoredKey { name: name(text), sealed_secret: vec![1, 2, 3], created_at: at(5) }
}

fn follows(zone: &str, address: &str, key: Option<&str>) -> StoredSecondary {
    StoredSecondary { zone: name(zone), address: address.parse().unwrap(), key: key.map(name) }
}

async fn a_key_is_kept_until_nobody_signs_with_it(mut engine: Engine) {
    engine.store().add_key(key("b.example"), change(1)).await.unwrap();
    engine.store().add_key(key("a.example"), change(2)).await.unwrap();
    let taken = engine.store().add_key(key("a.example"), change(3)).await;
    assert!(matches!(taken, Err(NameError::KeyTaken(_))), "{taken:?}");
    engine.restart();
    assert_eq!(engine.store().load_keys().await.unwrap(), [key("a.example"), key("b.example")]);
    let of = follows("dyn.example", "192.0.2.53:53", Some("a.example"));
    engine.store().put_secondary(of.clone(), change(4)).await.unwrap();
    let used = engine.store().remove_key(name("a.example"), change(5)).await;
    assert!(matches!(used, Err(NameError::KeyUsed(..))), "{used:?}");
    engine.store().remove_secondary(of.zone, of.address, change(6)).await.unwrap();
    engine.store().remove_key(name("a.example"), change(7)).await.unwrap();
    let gone = engine.store().remove_key(name("a.example"), change(8)).await;
    assert!(matches!(gone, Err(NameError::NoKey(_))), "{gone:?}");
    let audit = engine.store().audit(None, 9).await.unwrap();
    assert!(audit.iter().any(|row| row.what == "tsig.remove a.example"), "{audit:?}");
}

async fn secondaries_go_with_their_zone_and_are_bounded(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    engine.store().put_zone(zone("firma.example", one, 1), put(1, 1)).await.unwrap();
    let unknown =
        engine.store().put_secondary(follows("firma.example", "[::1]:53", Some("k.example")), change(2)).await;
    assert!(matches!(unknown, Err(NameError::NoKey(_))), "{unknown:?}");
    engine.store().add_key(key("k.example"), change(2)).await.unwrap();
    let mine = follows("firma.example", "[::1]:53", Some("k.example"));
    let ours = follows("dyn.example", "192.0.2.53:5300", None);
    engine.store().set_serials(vec![(name("dyn.example"), 9), (name("firma.example"), u32::MAX)]).await.unwrap();
    engine.store().set_serials(vec![(name("dyn.example"), 10)]).await.unwrap();
    for wanted in [follows("firma.example", "[::1]:53", None), mine.clone(), ours.clone()] {
        engine.store().put_secondary(wanted, change(3)).await.unwrap();
    }
    engine.restart();
    assert_eq!(engine.store().load_secondaries().await.unwrap(), [ours.clone(), mine.clone()]);
    let serials = [(name("dyn.example"), 10), (name("firma.example"), u32::MAX)];
    assert_eq!(engine.store().load_serials().await.unwrap(), serials);
    for n in 1..SECONDARIES_PER_ZONE_MAX {
        let other = follows("firma.example", &format!("192.0.2.{n}:53"), None);
        engine.store().put_secondary(other, change(4)).await.unwrap();
    }
    let full = engine.store().put_secondary(follows("firma.example", "192.0.2.200:53", None), change(5)).await;
    assert!(matches!(full, Err(NameError::Enough(..))), "{full:?}");
    engine.store().put_secondary(mine.clone(), change(5)).await.unwrap();
    engine.store().remove_zone(one, name("firma.example"), change(6)).await.unwrap();
    assert_eq!(engine.store().load_secondaries().await.unwrap(), std::slice::from_ref(&ours));
    assert_eq!(engine.store().load_serials().await.unwrap(), [(name("dyn.example"), 10)]);
    // And with its account.
    engine.store().put_zone(zone("firma.example", one, 1), put(7, 1)).await.unwrap();
    engine.store().put_secondary(mine.clone(), change(8)).await.unwrap();
    engine.store().remove_account(one, change(9)).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().load_secondaries().await.unwrap(), std::slice::from_ref(&ours));
    let none = engine.store().remove_secondary(mine.zone, mine.address, change(10)).await;
    assert!(matches!(none, Err(NameError::NoSecondary(..))), "{none:?}");
}

fn scope(key: &str, of: &str, account: AccountId) -> StoredScope {
    StoredScope { key: name(key), name: name(of), account, is_below: false, types: "A,TXT".parse().unwrap() }
}

async fn what_a_key_may_change_goes_with_the_key_and_with_the_account(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    let unknown = engine.store().put_scope(scope("k.example", "a.firma.example", one), change(1)).await;
    assert!(matches!(unknown, Err(NameError::NoKey(_))), "{unknown:?}");
    for text in ["k.example", "l.example"] {
        engine.store().add_key(key(text), change(2)).await.unwrap();
    }
    let nobody = engine.store().put_scope(scope("k.example", "a.firma.example", AccountId(999)), change(3)).await;
    assert!(matches!(nobody, Err(NameError::NoAccount)), "{nobody:?}");
    let wide =
        StoredScope { is_below: true, types: "ANY".parse().unwrap(), ..scope("k.example", "a.firma.example", one) };
    let narrow = scope("l.example", "_acme-challenge.other.example", other);
    for wanted in [scope("k.example", "a.firma.example", one), narrow.clone(), wide.clone()] {
        engine.store().put_scope(wanted, change(4)).await.unwrap();
    }
    engine.restart();
    assert_eq!(engine.store().load_scopes().await.unwrap(), [wide.clone(), narrow.clone()]);
    for n in 1..SCOPES_PER_KEY_MAX {
        engine.store().put_scope(scope("k.example", &format!("n{n}.firma.example"), one), change(5)).await.unwrap();
    }
    let full = engine.store().put_scope(scope("k.example", "more.firma.example", one), change(5)).await;
    assert!(matches!(full, Err(NameError::Enough(..))), "{full:?}");
    engine.store().put_scope(wide, change(5)).await.unwrap();
    engine.store().remove_scope(name("k.example"), name("n1.firma.example"), change(6)).await.unwrap();
    let none = engine.store().remove_scope(name("k.example"), name("n1.firma.example"), change(6)).await;
    assert!(matches!(none, Err(NameError::NoScope(..))), "{none:?}");
    engine.store().remove_key(name("k.example"), change(7)).await.unwrap();
    assert_eq!(engine.store().load_scopes().await.unwrap(), [narrow]);
    engine.store().remove_account(other, change(8)).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().load_scopes().await.unwrap(), []);
    let audit = engine.store().audit(Some(one), 500).await.unwrap();
    assert!(audit.iter().any(|row| row.what == "tsig.allow k.example a.firma.example and below ANY"), "{audit:?}");
    assert!(audit.iter().any(|row| row.what == "tsig.deny k.example n1.firma.example"), "{audit:?}");
}

async fn one_zone_is_read_alone(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    for (apex, serial) in [("firma.example", 3), ("other.example", 4)] {
        engine.store().put_zone(zone(apex, one, serial), put(1, serial)).await.unwrap();
    }
    engine.restart();
    assert_eq!(engine.store().zone(name("firma.example")).await.unwrap(), Some(zone("firma.example", one, 3)));
    assert_eq!(engine.store().zone(name("none.example")).await.unwrap(), None);
}

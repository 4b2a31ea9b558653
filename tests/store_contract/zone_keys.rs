//! Keys by which zones are signed.

use pulsemx::base::AccountId;
use pulsemx::dns::sign::KeyState;
use pulsemx::dns::sign::store::StoredZoneKey;
use pulsemx::dns::{StoredZone, ZoneChange, zone_file};

use crate::engine::{Engine, account, at, change, for_each_engine, name};

for_each_engine! {
    keys_survive_a_restart_and_go_with_their_zone_and_their_account,
}

fn key(zone: &str, tag: u16, account: Option<AccountId>, state: KeyState) -> StoredZoneKey {
    StoredZoneKey { zone: name(zone), tag, account, sealed_key: vec![1, 2, 3], state, since: at(5) }
}

async fn keys_survive_a_restart_and_go_with_their_zone_and_their_account(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let apex = name("firma.example");
    let text = "@ 60 IN SOA mx2.example.net. root.firma.example. 5 1 2 3 4\n@ 60 IN NS mx2.example.net.\n";
    let records = zone_file::read(text, &pulsemx::dns::owner::Owner::of_domain(&apex)).unwrap();
    let put = ZoneChange { at: at(1), who: "operator".to_owned(), why: String::new(), serial: 5, what: String::new() };
    let zone = StoredZone { apex: apex.clone(), account: firma, serial: 5, records };
    engine.store().put_zone(zone, put).await.unwrap();
    let one = key("firma.example", 7, Some(firma), KeyState::Active);
    let two = key("firma.example", 9, Some(firma), KeyState::Incoming);
    let (own, deep) =
        (key("dyn.example", 3, None, KeyState::Retired), key("other.example", 4, Some(firma), KeyState::Leaving));
    for keys in [vec![one.clone()], vec![two.clone(), one.clone()], vec![own.clone()], vec![deep.clone()]] {
        let zone = keys[0].zone.clone();
        engine.store().put_zone_keys(zone, keys, "zone.keys firma.example sign".to_owned(), change(1)).await.unwrap();
    }
    engine.restart();
    let kept = engine.store().load_zone_keys().await.unwrap();
    assert_eq!(kept, [own.clone(), one, two, deep.clone()]);
    let audit = engine.store().audit(Some(firma), 9).await.unwrap();
    assert!(audit.iter().any(|row| row.what == "zone.keys firma.example sign"), "{audit:?}");
    engine.store().remove_zone(firma, apex, change(2)).await.unwrap();
    assert_eq!(engine.store().load_zone_keys().await.unwrap(), [own.clone(), deep]);
    engine.store().remove_account(firma, change(3)).await.unwrap();
    assert_eq!(engine.store().load_zone_keys().await.unwrap(), std::slice::from_ref(&own));
    engine.store().put_zone_keys(own.zone.clone(), Vec::new(), "none".to_owned(), change(4)).await.unwrap();
    assert_eq!(engine.store().load_zone_keys().await.unwrap(), []);
}

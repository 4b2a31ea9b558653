//! Keys of ACME clients, and what they put at names.

use std::time::Duration;

use pulsemx::base::AccountId;
use pulsemx::dns::NameError;
use pulsemx::dns::challenge::VALUES_MAX;
use pulsemx::dns::challenge::key::{ChallengeKey, KEYS_PER_ACCOUNT_MAX};
use pulsemx::dns::challenge::store::StoredValue;

use crate::engine::{Engine, account, at, change, for_each_engine, name};

for_each_engine! {
    a_key_and_its_values_survive_a_restart_and_go_with_the_account,
    an_account_has_so_many_keys_and_no_more,
    the_newest_values_of_a_key_are_kept,
}

fn key(account: AccountId, n: usize) -> ChallengeKey {
    ChallengeKey {
        id: format!("id-{n:03}"),
        account,
        name: name(&format!("id-{n:03}.auth.dyn.example")),
        user: format!("user-{n}"),
        verifier: [7; 32],
        networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        created_at: at(1),
    }
}

fn value(key: &ChallengeKey, n: usize, second: i64) -> StoredValue {
    StoredValue { key: key.id.clone(), value: format!("value-{n:03}"), at: at(second) }
}

async fn a_key_and_its_values_survive_a_restart_and_go_with_the_account(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = account(engine.store(), "zweite", 2).await;
    let (one, two) = (key(firma, 1), key(other, 2));
    engine.store().add_challenge_key(one.clone(), change(1)).await.unwrap();
    engine.store().add_challenge_key(two.clone(), change(2)).await.unwrap();
    for key in [&one, &two, &key(firma, 9)] {
        engine.store().put_challenge_value(value(key, 1, 5), at(0)).await.unwrap();
    }
    engine.restart();
    assert_eq!(engine.store().load_challenge_keys().await.unwrap(), [one.clone(), two.clone()]);
    let kept = engine.store().load_challenge_values().await.unwrap();
    assert_eq!(kept, [value(&one, 1, 5), value(&two, 1, 5)], "nothing of a key that is not there");
    let wrong = engine.store().remove_challenge_key(firma, two.id.clone(), change(3)).await;
    assert!(matches!(wrong, Err(NameError::NoChallengeKey(_))));
    engine.store().remove_challenge_key(firma, one.id.clone(), change(3)).await.unwrap();
    assert_eq!(engine.store().load_challenge_values().await.unwrap(), [value(&two, 1, 5)]);
    let audit = engine.store().audit(Some(firma), 10).await.unwrap();
    let words: Vec<&str> = audit.iter().map(|entry| entry.what.as_str()).collect();
    assert!(words.contains(&"challenge.new id-001 id-001.auth.dyn.example"), "{words:?}");
    assert!(words.contains(&"challenge.remove id-001"), "{words:?}");
    engine.store().remove_account(other, change(9)).await.unwrap();
    assert_eq!(engine.store().load_challenge_keys().await.unwrap(), []);
    assert_eq!(engine.store().load_challenge_values().await.unwrap(), []);
}

async fn an_account_has_so_many_keys_and_no_more(engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    for n in 0..KEYS_PER_ACCOUNT_MAX {
        engine.store().add_challenge_key(key(firma, n), change(1)).await.unwrap();
    }
    let one_more = engine.store().add_challenge_key(key(firma, 999), change(2)).await;
    assert!(matches!(one_more, Err(NameError::Enough(KEYS_PER_ACCOUNT_MAX, _))));
    let nobody = engine.store().add_challenge_key(key(AccountId(99), 1), change(2)).await;
    assert!(matches!(nobody, Err(NameError::NoAccount)));
}

async fn the_newest_values_of_a_key_are_kept(engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let (one, two) = (key(firma, 1), key(firma, 2));
    for key in [&one, &two] {
        engine.store().add_challenge_key(key.clone(), change(1)).await.unwrap();
    }
    engine.store().put_challenge_value(value(&two, 0, 10), at(0)).await.unwrap();
    for n in 0..VALUES_MAX + 2 {
        let second = 100 + i64::try_from(n).unwrap();
        engine.store().put_challenge_value(value(&one, n, second), at(0)).await.unwrap();
    }
    engine.store().put_challenge_value(value(&one, 5, 900), at(0)).await.unwrap();
    let kept = engine.store().load_challenge_values().await.unwrap();
    assert_eq!(kept.len(), VALUES_MAX + 1);
    assert_eq!(kept.first(), Some(&value(&two, 0, 10)));
    assert_eq!(kept.get(1), Some(&value(&one, 2, 102)), "the two oldest have gone");
    assert_eq!(kept.last(), Some(&value(&one, 5, 900)), "put again");
    let oldest = at(900) - Duration::from_secs(1);
    engine.store().put_challenge_value(value(&one, 7, 901), oldest).await.unwrap();
    assert_eq!(engine.store().load_challenge_values().await.unwrap(), [value(&one, 5, 900), value(&one, 7, 901)]);
}

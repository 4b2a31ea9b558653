//! Tokens of the API: kept as images, rotated with an overlap, gone with their account.

use pulsemx::account::api_token::{Rotation, TOKENS_PER_ACCOUNT_MAX};
use pulsemx::account::{ApiToken, ApiTokenError, ApiTokenId, Scope, Scopes};
use pulsemx::base::AccountId;

use crate::engine::{Engine, account, at, change, for_each_engine, new_account};

for_each_engine! {
    a_token_survives_a_restart_with_all_that_is_known_of_it_and_goes_with_its_account,
    a_rotation_keeps_one_secret_before_the_new_one,
    a_token_of_another_account_is_no_token,
    an_account_has_a_bounded_number_of_tokens,
}

fn id(number: u32) -> ApiTokenId {
    let letters: String = format!("{number:012}").chars().map(|c| char::from(b'a' + (c as u8 - b'0'))).collect();
    format!("t{letters}").parse().unwrap()
}

fn token(number: u32, account: AccountId) -> ApiToken {
    ApiToken {
        id: id(number),
        account,
        label: format!("Überwachung \"{number}\""),
        scopes: Scopes::from_iter([Scope::SpoolRead, Scope::Content]),
        verifier: [u8::try_from(number % 200).unwrap(); 32],
        old: None,
        made_by: "anna".to_owned(),
        created_at: at(i64::from(number)),
        rotated_at: None,
        expires_at: Some(at(90_000)),
        last_used_at: None,
    }
}

async fn a_token_survives_a_restart_with_all_that_is_known_of_it_and_goes_with_its_account(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = engine.store().create_account(new_account("zweite", 2), change(1)).await.unwrap();
    let (first, second) = (token(1, one), ApiToken { expires_at: None, ..token(2, other) });
    engine.store().add_api_token(second.clone(), change(2)).await.unwrap();
    engine.store().add_api_token(first.clone(), change(3)).await.unwrap();
    engine.store().use_api_token(id(1), at(7_200)).await.unwrap();
    engine.store().use_api_token(id(9), at(7_200)).await.unwrap();
    engine.restart();
    let used = ApiToken { last_used_at: Some(at(7_200)), ..first };
    assert_eq!(engine.store().api_tokens().await.unwrap(), [used.clone(), second]);
    engine.store().remove_account(other, change(10)).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().api_tokens().await.unwrap(), [used]);
    let audit = engine.store().audit(Some(one), 9).await.unwrap();
    let what = format!("api_token.add {} spool:read,content Überwachung \"1\"", id(1));
    assert!(audit.iter().any(|entry| entry.what == what), "{audit:?}");
    let nobody = engine.store().add_api_token(token(3, AccountId(99)), change(11)).await;
    assert!(matches!(nobody, Err(ApiTokenError::NoAccount)), "{nobody:?}");
}

async fn a_rotation_keeps_one_secret_before_the_new_one(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    engine.store().add_api_token(token(1, one), change(1)).await.unwrap();
    for (verifier, second) in [([8; 32], 20), ([9; 32], 30)] {
        let rotation = Rotation { verifier, old_until: at(second + 100) };
        engine.store().rotate_api_token(one, id(1), rotation, change(second)).await.unwrap();
    }
    engine.restart();
    let stored = engine.store().api_tokens().await.unwrap();
    let expected =
        ApiToken { verifier: [9; 32], old: Some(([8; 32], at(130))), rotated_at: Some(at(30)), ..token(1, one) };
    assert_eq!(stored, [expected]);
    let audit = engine.store().audit(Some(one), 9).await.unwrap();
    assert_eq!(audit.iter().filter(|entry| entry.what == format!("api_token.rotate {}", id(1))).count(), 2);
}

async fn a_token_of_another_account_is_no_token(engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = engine.store().create_account(new_account("zweite", 2), change(1)).await.unwrap();
    engine.store().add_api_token(token(1, one), change(1)).await.unwrap();
    let rotation = Rotation { verifier: [9; 32], old_until: at(9) };
    let rotated = engine.store().rotate_api_token(other, id(1), rotation, change(2)).await;
    let revoked = engine.store().revoke_api_token(other, id(1), change(2)).await;
    assert!(matches!(rotated, Err(ApiTokenError::NoToken(_))), "{rotated:?}");
    assert!(matches!(revoked, Err(ApiTokenError::NoToken(_))), "{revoked:?}");
    assert_eq!(engine.store().api_tokens().await.unwrap(), [token(1, one)]);
    engine.store().revoke_api_token(one, id(1), change(3)).await.unwrap();
    assert_eq!(engine.store().api_tokens().await.unwrap(), []);
    let again = engine.store().revoke_api_token(one, id(1), change(3)).await;
    assert!(matches!(again, Err(ApiTokenError::NoToken(_))), "{again:?}");
}

async fn an_account_has_a_bounded_number_of_tokens(engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let most = u32::try_from(TOKENS_PER_ACCOUNT_MAX).unwrap();
    for number in 0..most {
        engine.store().add_api_token(token(number, one), change(1)).await.unwrap();
    }
    let full = engine.store().add_api_token(token(most, one), change(2)).await;
    assert!(matches!(full, Err(ApiTokenError::Full(TOKENS_PER_ACCOUNT_MAX))), "{full:?}");
    assert_eq!(engine.store().api_tokens().await.unwrap().len(), TOKENS_PER_ACCOUNT_MAX);
}

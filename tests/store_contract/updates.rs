//! Update tokens, dynamic names, last requests.

use std::time::Duration;

use pulsemx::account::AccountError;
use pulsemx::base::{AccountId, EndpointId};
use pulsemx::update::model::{DEVICES_PER_ACCOUNT_MAX, TOKENS_PER_ACCOUNT_MAX};
use pulsemx::update::{DeviceRequest, HostName, Policy, Reason, Role, TokenKind, TokenRecord, UpdateError, UpdateRows};

use crate::engine::{Engine, account, at, change, for_each_engine, name, new_account};

for_each_engine! {
    everything_about_updates_survives_a_restart,
    a_token_is_revoked_by_its_account_alone_and_their_number_is_bounded,
    a_dynamic_name_belongs_to_one_account,
    of_two_changes_of_a_name_the_later_one_holds,
    the_last_request_of_the_newest_devices_is_kept,
    updates_go_with_their_account,
}

fn token(account: AccountId, image: u8) -> TokenRecord {
    TokenRecord {
        id: 0,
        account,
        kind: TokenKind::Duckdns,
        host: Some(name("firma.dyn.example")),
        verifier: [image; 32],
        created_at: at(1),
        expires_at: Some(at(100)),
    }
}

fn host(text: &str, account: AccountId, endpoint: EndpointId, last: u8, second: i64) -> HostName {
    HostName {
        address_v4: Some([203, 0, 113, last].into()),
        address_v6: Some("2001:db8::5".parse().unwrap()),
        changed_at: Some(at(second)),
        ..HostName::new(name(text), account, endpoint)
    }
}

fn request(account: AccountId, device: &str, second: i64) -> DeviceRequest {
    DeviceRequest {
        account,
        device: device.to_owned(),
        at: at(second),
        peer: "2001:db8::9".parse().unwrap(),
        agent: "ddclient/3.10.0".to_owned(),
        is_encrypted: true,
        hosts: "firma.dyn.example".to_owned(),
        answer: "good 203.0.113.7".to_owned(),
        reason: Reason::Changed,
    }
}

async fn everything_about_updates_survives_a_restart(mut engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    let id = store.add_token(token(firma, 7), change(1)).await.unwrap();
    let wide = TokenRecord { kind: TokenKind::Update, host: None, expires_at: None, ..token(firma, 8) };
    let wide_id = store.add_token(wide.clone(), change(1)).await.unwrap();
    let further = HostName {
        interface_id: Some("::25".parse().unwrap()),
        ..HostName::new(name("web.dyn.example"), firma, endpoint)
    };
    store.add_host(further.clone(), change(2)).await.unwrap();
    let main = host("firma.dyn.example", firma, endpoint, 7, 3);
    store.set_hosts(vec![main.clone()]).await.unwrap();
    let policy = Policy { expiry: Some(Duration::from_secs(86_700)), backup_mx: false };
    store.set_policy(firma, policy, change(4)).await.unwrap();
    store.set_role(endpoint, Role::Updates).await.unwrap();
    store.set_role(EndpointId(999), Role::Updates).await.unwrap();
    store.note_request(request(firma, "token 1", 5)).await.unwrap();
    let expected = UpdateRows {
        tokens: vec![TokenRecord { id, ..token(firma, 7) }, TokenRecord { id: wide_id, ..wide }],
        hosts: vec![main, further],
        policies: vec![(firma, policy)],
        roles: vec![(endpoint, Role::Updates)],
        requests: vec![request(firma, "token 1", 5)],
    };
    engine.restart();
    assert_eq!(engine.store().load_updates().await.unwrap(), expected);
    let audit: Vec<String> =
        engine.store().audit(Some(firma), 3).await.unwrap().into_iter().map(|row| row.what).collect();
    assert_eq!(audit[0], "updates.set expiry 86700s backup-mx no");
    assert_eq!(audit[1], "host.add web.dyn.example");
}

async fn a_token_is_revoked_by_its_account_alone_and_their_number_is_bounded(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let (other, _) = account(store, "other", 2).await;
    let id = store.add_token(token(firma, 1), change(1)).await.unwrap();
    assert!(store.add_token(token(other, 1), change(1)).await.is_err(), "one image is one token");
    let theirs = store.revoke_token(other, id, change(2)).await;
    assert!(matches!(theirs, Err(UpdateError::NoToken(_))), "{theirs:?}");
    store.revoke_token(firma, id, change(2)).await.unwrap();
    assert!(store.load_updates().await.unwrap().tokens.is_empty());
    for image in 0..TOKENS_PER_ACCOUNT_MAX {
        store.add_token(token(firma, u8::try_from(image).unwrap()), change(3)).await.unwrap();
    }
    let full = store.add_token(token(firma, 250), change(3)).await;
    assert!(matches!(full, Err(UpdateError::Full(_))), "{full:?}");
    let nobody = store.add_token(token(AccountId(999), 251), change(3)).await;
    assert!(matches!(nobody, Err(UpdateError::NoAccount)), "{nobody:?}");
}

async fn a_dynamic_name_belongs_to_one_account(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    let (other, other_endpoint) = account(store, "other", 2).await;
    let further = HostName::new(name("web.dyn.example"), firma, endpoint);
    store.add_host(further.clone(), change(1)).await.unwrap();
    for taken in ["web.dyn.example", "firma.dyn.example", "firma.example"] {
        let theirs = store.add_host(HostName::new(name(taken), other, other_endpoint), change(1)).await;
        assert!(matches!(theirs, Err(UpdateError::NameTaken(_))), "{taken}: {theirs:?}");
    }
    let domain = store.add_domain(other, name("web.dyn.example"), vec![other_endpoint], change(1)).await;
    assert!(matches!(domain, Err(AccountError::DomainTaken(_))), "{domain:?}");
    let mut new = new_account("third", 3);
    new.host = name("web.dyn.example");
    assert!(matches!(store.create_account(new, change(1)).await, Err(AccountError::DomainTaken(_))));
    // Its own account may take mail for it, and give it an interface id later.
    store.add_domain(firma, name("web.dyn.example"), vec![endpoint], change(2)).await.unwrap();
    let with_id = HostName { interface_id: Some("::7".parse().unwrap()), ..further };
    store.add_host(with_id.clone(), change(3)).await.unwrap();
    assert_eq!(store.load_updates().await.unwrap().hosts, [with_id]);
    let server = store.remove_host(firma, name("firma.dyn.example"), change(4)).await;
    assert!(matches!(server, Err(UpdateError::NoHost(_))), "{server:?}");
    let narrow = TokenRecord { host: Some(name("web.dyn.example")), ..token(firma, 4) };
    store.add_token(narrow, change(4)).await.unwrap();
    store.remove_host(firma, name("web.dyn.example"), change(5)).await.unwrap();
    assert_eq!(store.load_updates().await.unwrap(), UpdateRows::default(), "its tokens go with it");
}

async fn of_two_changes_of_a_name_the_later_one_holds(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    store.set_hosts(vec![host("firma.dyn.example", firma, endpoint, 9, 9)]).await.unwrap();
    let late = HostName { is_withdrawn: true, ..host("firma.dyn.example", firma, endpoint, 8, 8) };
    store.set_hosts(vec![late, host("gone.dyn.example", firma, EndpointId(999), 1, 9)]).await.unwrap();
    let hosts = store.load_updates().await.unwrap().hosts;
    assert_eq!(hosts, [host("firma.dyn.example", firma, endpoint, 9, 9)]);
}

async fn the_last_request_of_the_newest_devices_is_kept(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    for second in 0..DEVICES_PER_ACCOUNT_MAX + 5 {
        let device = format!("token {second:02}");
        store.note_request(request(firma, &device, i64::try_from(second).unwrap())).await.unwrap();
    }
    let newer = DeviceRequest { reason: Reason::Parked, ..request(firma, "token 10", 100) };
    store.note_request(newer.clone()).await.unwrap();
    store.note_request(request(AccountId(999), "token 1", 1)).await.unwrap();
    let kept = store.load_updates().await.unwrap().requests;
    assert_eq!(kept.len(), DEVICES_PER_ACCOUNT_MAX);
    assert!(kept.contains(&newer) && kept.iter().all(|request| request.device != "token 04"), "{kept:?}");
}

async fn updates_go_with_their_account(engine: Engine) {
    let store = engine.store();
    let (firma, endpoint) = account(store, "firma", 1).await;
    store.add_token(token(firma, 7), change(1)).await.unwrap();
    store.set_hosts(vec![host("firma.dyn.example", firma, endpoint, 7, 3)]).await.unwrap();
    store.set_policy(firma, Policy::default(), change(4)).await.unwrap();
    store.set_role(endpoint, Role::Beats).await.unwrap();
    store.note_request(request(firma, "token 1", 5)).await.unwrap();
    store.remove_account(firma, change(6)).await.unwrap();
    assert_eq!(store.load_updates().await.unwrap(), UpdateRows::default());
}

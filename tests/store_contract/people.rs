//! Sessions, choices and passwords of people, and public pages of accounts.

use pulsemx::account::passkey::PASSKEYS_MAX;
use pulsemx::account::{
    AccountError, Change, Choice, NewSession, Passkey, Publication, Role, Seen, SignInLink, Tongue,
};
use pulsemx::base::PersonId;

use crate::engine::{Engine, Everything, account, at, change, for_each_engine};

for_each_engine! {
    a_session_is_seen_listed_and_ended_by_its_person_alone,
    a_choice_is_there_after_a_restart,
    a_password_is_found_by_the_person_or_the_account_and_ends_other_sessions,
    a_public_page_is_found_until_it_is_taken_back,
    what_hangs_on_an_account_goes_with_it,
    a_change_of_a_person_is_seen_in_every_account_of_the_person,
    a_passkey_signs_its_person_in_and_counts_on,
    a_person_has_twenty_passkeys_and_they_go_with_the_person,
}

async fn session(store: &dyn Everything, person: PersonId, number: u8) -> [u8; 32] {
    let new = NewSession { secret_hash: [number; 32], person, expires_at: at(1_000) };
    store.open_session(new, change(0)).await.unwrap();
    [number; 32]
}

fn seen(second: i64, agent: &str) -> Seen {
    Seen { at: at(second), agent: agent.to_owned(), address: "2001:db8::7".parse().unwrap() }
}

async fn a_session_is_seen_listed_and_ended_by_its_person_alone(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    let store = engine.store();
    let (eva, tom) = (store.owner_of(firma).await.unwrap().unwrap(), store.owner_of(other).await.unwrap().unwrap());
    let (one, two, theirs) = (session(store, eva, 1).await, session(store, eva, 2).await, session(store, tom, 3).await);
    let twice = NewSession { secret_hash: one, person: tom, expires_at: at(5) };
    assert!(matches!(store.open_session(twice, change(0)).await, Err(AccountError::LinkSpent)));
    let link = SignInLink { secret_hash: [9; 32], person: eva, expires_at: at(500) };
    store.add_link(link, change(0)).await.unwrap();
    store.redeem_link([9; 32], [4; 32], at(2_000), at(1)).await.unwrap();

    assert_eq!(store.session(one, at(5)).await.unwrap().unwrap().seen_at, None);
    store.see_session(one, seen(5, "Firefox")).await.unwrap();
    store.see_session(one, seen(400, &"x".repeat(500))).await.unwrap();
    store.see_session(two, seen(7, "Safari")).await.unwrap();
    store.see_session([77; 32], seen(7, "nobody")).await.unwrap();
    engine.restart();
    let store = engine.store();
    let open = store.sessions_of(eva, at(401)).await.unwrap();
    assert_eq!(open.iter().map(|s| s.secret_hash[0]).collect::<Vec<_>>(), [1, 2, 4], "the last used first");
    assert_eq!((open[0].made_at, open[0].expires_at), (Some(at(5)), at(1_000)));
    let last = open[0].seen.as_ref().unwrap();
    assert_eq!((last.at, last.agent.len(), last.address), (at(400), 200, "2001:db8::7".parse().unwrap()));
    assert_eq!((open[2].made_at, open[2].seen.as_ref()), (None, None), "not seen yet");
    assert_eq!(store.session(one, at(401)).await.unwrap().unwrap().seen_at, Some(at(400)));
    assert_eq!(store.sessions_of(eva, at(1_500)).await.unwrap().len(), 1, "two have run out");

    assert_eq!(store.end_sessions(eva, vec![two, theirs, [88; 32]], change(402)).await.unwrap(), 1);
    assert!(store.session(two, at(403)).await.unwrap().is_none());
    assert!(store.session(theirs, at(403)).await.unwrap().is_some(), "somebody else's stays open");
    let rows = store.audit(Some(firma), 1).await.unwrap();
    assert_eq!((rows[0].what.as_str(), rows[0].who.as_str()), ("session.end 1", "operator"));
    assert_eq!(store.end_sessions(eva, vec![two], change(404)).await.unwrap(), 0);
    assert_eq!(store.audit(Some(firma), 1).await.unwrap()[0].at, at(402), "nothing happened, nothing is noted");
}

async fn a_choice_is_there_after_a_restart(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let eva = engine.store().owner_of(firma).await.unwrap().unwrap();
    assert_eq!(engine.store().choice_of(eva).await.unwrap(), Choice::default());
    let choice = Choice { tongue: Some(Tongue::De), zone: Some(chrono_tz::Europe::Berlin) };
    engine.store().set_choice(eva, choice, change(1)).await.unwrap();
    engine.store().set_choice(eva, choice, change(2)).await.unwrap();
    engine.restart();
    let store = engine.store();
    assert_eq!(store.choice_of(eva).await.unwrap(), choice);
    let noted = store.audit(Some(firma), 1).await.unwrap().remove(0);
    assert_eq!((noted.what.as_str(), noted.at), ("person.choice de Europe/Berlin", at(1)), "once");
    store.set_choice(eva, Choice { zone: None, ..choice }, change(3)).await.unwrap();
    assert_eq!(store.choice_of(eva).await.unwrap().zone, None);
    assert!(store.set_choice(PersonId(999), choice, change(4)).await.is_err());
}

async fn a_password_is_found_by_the_person_or_the_account_and_ends_other_sessions(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let store = engine.store();
    let eva = store.owner_of(firma).await.unwrap().unwrap();
    let (mine, stolen) = (session(store, eva, 1).await, session(store, eva, 2).await);
    assert!(store.password_of("firma").await.unwrap().is_none());
    store.set_password(eva, Some("$argon2id$one".to_owned()), mine, change(1)).await.unwrap();
    store.set_password(eva, Some("$argon2id$two".to_owned()), mine, change(2)).await.unwrap();
    engine.restart();
    let store = engine.store();
    for name in ["firma", "firma (owner)"] {
        assert_eq!(store.password_of(name).await.unwrap(), Some((eva, "$argon2id$two".to_owned())), "{name}");
    }
    for name in ["", "firma (", "other", "%", "Firma"] {
        assert!(store.password_of(name).await.unwrap().is_none(), "{name}");
    }
    assert!(store.has_password(eva).await.unwrap());
    assert!(store.session(mine, at(3)).await.unwrap().is_some());
    assert!(store.session(stolen, at(3)).await.unwrap().is_none());
    store.set_password(eva, None, mine, change(3)).await.unwrap();
    assert!(!store.has_password(eva).await.unwrap() && store.password_of("firma").await.unwrap().is_none());
    let noted: Vec<String> = store.audit(Some(firma), 3).await.unwrap().into_iter().map(|row| row.what).collect();
    assert_eq!(noted, ["password.remove", "password.set", "password.set"]);
}

async fn a_public_page_is_found_until_it_is_taken_back(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let page = |page: &str, badge: &str| Publication { page_id: page.to_owned(), badge_id: badge.to_owned() };
    engine.store().set_publication(firma, Some(page("p1", "b1")), change(1)).await.unwrap();
    engine.restart();
    let store = engine.store();
    assert_eq!(store.publication(firma).await.unwrap(), Some(page("p1", "b1")));
    assert_eq!(store.published_page("p1").await.unwrap(), Some(firma));
    assert_eq!(store.published_badge("b1").await.unwrap(), Some(firma));
    assert_eq!(store.published_page("b1").await.unwrap(), None, "a badge does not lead to the page");
    store.set_publication(firma, Some(page("p2", "b2")), change(2)).await.unwrap();
    assert_eq!(store.published_page("p1").await.unwrap(), None);
    store.set_publication(firma, None, change(3)).await.unwrap();
    store.set_publication(firma, None, change(4)).await.unwrap();
    assert_eq!((store.publication(firma).await.unwrap(), store.published_page("p2").await.unwrap()), (None, None));
    assert_eq!(store.audit(Some(firma), 1).await.unwrap()[0].at, at(3));
}

async fn what_hangs_on_an_account_goes_with_it(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let eva = store.owner_of(firma).await.unwrap().unwrap();
    let mine = session(store, eva, 1).await;
    store.set_password(eva, Some("x".to_owned()), mine, change(1)).await.unwrap();
    let page = Publication { page_id: "p".to_owned(), badge_id: "b".to_owned() };
    store.set_publication(firma, Some(page.clone()), change(1)).await.unwrap();
    store.remove_account(firma, change(2)).await.unwrap();
    assert!(store.password_of("firma").await.unwrap().is_none());
    assert_eq!(store.published_page("p").await.unwrap(), None);
    assert!(store.sessions_of(eva, at(3)).await.unwrap().is_empty());
    assert!(matches!(store.set_publication(firma, Some(page), change(3)).await, Err(AccountError::NoAccount)));
}

async fn a_change_of_a_person_is_seen_in_every_account_of_the_person(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let (other, _) = account(store, "other", 2).await;
    let eva = store.owner_of(firma).await.unwrap().unwrap();
    store.set_membership(eva, other, Role::Viewer, change(1)).await.unwrap();
    let by_eva = Change { at: at(2), who: "firma (owner)".to_owned() };
    store.set_choice(eva, Choice { tongue: Some(Tongue::En), zone: None }, by_eva).await.unwrap();
    for place in [firma, other] {
        assert_eq!(store.audit(Some(place), 1).await.unwrap()[0].what, "person.choice en auto");
    }
    let operator = store.ensure_person("operator", true, change(3)).await.unwrap();
    session(store, operator, 5).await;
    let noted = store.audit(None, 1).await.unwrap().remove(0);
    assert_eq!((noted.what.as_str(), noted.account), ("session.password", None));
}

fn passkey(person: PersonId, number: u8) -> Passkey {
    Passkey {
        credential: vec![number; 16],
        person,
        public_key: vec![1, 2, 3],
        counter: 0,
        name: format!("device {number}"),
        made_at: at(i64::from(number)),
        used_at: None,
    }
}

async fn a_passkey_signs_its_person_in_and_counts_on(mut engine: Engine) {
    let (firma, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    let store = engine.store();
    let (eva, tom) = (store.owner_of(firma).await.unwrap().unwrap(), store.owner_of(other).await.unwrap().unwrap());
    for number in [2, 1] {
        store.add_passkey(passkey(eva, number), change(1)).await.unwrap();
    }
    let taken = store.add_passkey(passkey(tom, 1), change(1)).await;
    assert!(matches!(taken, Err(AccountError::LinkSpent)), "a credential belongs to one person");
    assert!(store.add_passkey(passkey(PersonId(999), 3), change(1)).await.is_err());
    engine.restart();
    let store = engine.store();
    assert_eq!(store.passkeys_of(eva).await.unwrap(), [passkey(eva, 1), passkey(eva, 2)], "the oldest first");
    assert_eq!(store.passkey(vec![2; 16]).await.unwrap(), Some(passkey(eva, 2)));
    assert_eq!(store.passkey(vec![9; 16]).await.unwrap(), None);
    let session = |number: u8, person| NewSession { secret_hash: [number; 32], person, expires_at: at(1_000) };
    let open = |new, credential: u8, counter| store.open_passkey_session(new, vec![credential; 16], counter, change(5));
    open(session(1, eva), 1, 0).await.unwrap();
    open(session(2, eva), 1, 7).await.unwrap();
    assert!(store.session([2; 32], at(6)).await.unwrap().is_some());
    for (new, credential, counter) in [
        (session(3, eva), 1, 7),
        (session(3, eva), 1, 0),
        (session(3, tom), 1, 8),
        (session(3, eva), 9, 8),
        (session(2, eva), 1, 8),
    ] {
        assert!(matches!(open(new, credential, counter).await, Err(AccountError::LinkSpent)), "{credential} {counter}");
    }
    assert!(store.session([3; 32], at(6)).await.unwrap().is_none());
    let used = store.passkey(vec![1; 16]).await.unwrap().unwrap();
    assert_eq!((used.counter, used.used_at), (7, Some(at(5))), "what was refused changed nothing");
    assert_eq!(store.audit(Some(firma), 1).await.unwrap()[0].what, "session.passkey device 1");
    assert!(!store.remove_passkey(tom, vec![1; 16], change(6)).await.unwrap(), "somebody else's stays");
    assert!(store.remove_passkey(eva, vec![1; 16], change(6)).await.unwrap());
    assert!(!store.remove_passkey(eva, vec![1; 16], change(7)).await.unwrap());
    let noted = store.audit(Some(firma), 1).await.unwrap().remove(0);
    assert_eq!((noted.what.as_str(), noted.at), ("passkey.remove device 1", at(6)));
}

async fn a_person_has_twenty_passkeys_and_they_go_with_the_person(engine: Engine) {
    let store = engine.store();
    let (firma, _) = account(store, "firma", 1).await;
    let eva = store.owner_of(firma).await.unwrap().unwrap();
    for number in 0..u8::try_from(PASSKEYS_MAX).unwrap() {
        store.add_passkey(passkey(eva, number), change(1)).await.unwrap();
    }
    assert!(matches!(store.add_passkey(passkey(eva, 99), change(1)).await, Err(AccountError::LinkSpent)));
    store.remove_account(firma, change(2)).await.unwrap();
    assert_eq!(store.passkey(vec![1; 16]).await.unwrap(), None);
}

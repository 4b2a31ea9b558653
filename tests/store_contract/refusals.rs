//! Refused recipients are found by either address and forgotten by age.

use pulsemx::smtp::refusals::Refused;

use crate::engine::{Engine, account, at, for_each_engine};

for_each_engine! {
    a_refused_recipient_is_found_by_either_address_and_forgotten_in_time,
}

async fn a_refused_recipient_is_found_by_either_address_and_forgotten_in_time(mut engine: Engine) {
    let firma = account(engine.store(), "firma", 1).await.0;
    let refused = |second: i64, recipient: &str, reverse_path: &str| Refused {
        at: at(second),
        account: recipient.ends_with("@firma.example").then_some(firma),
        peer: "2001:db8::9".parse().unwrap(),
        helo: "mx.elsewhere.example".to_owned(),
        reverse_path: reverse_path.to_owned(),
        recipient: recipient.to_owned(),
        code: 550,
        text: "5.1.1 no".to_owned(),
    };
    let rows = [
        refused(10, "gone@firma.example", "a@b.example"),
        refused(20, "x@else.example", "a@b.example"),
        refused(30, "gone@firma.example", ""),
    ];
    engine.store().note_refusals(rows.to_vec()).await.unwrap();
    engine.restart();
    let [first, second, third] = rows;
    let store = engine.store();
    assert_eq!(store.refusals("GONE@Firma.example", 9).await.unwrap(), [third.clone(), first.clone()]);
    assert_eq!(store.refusals("GONE@Firma.example", 1).await.unwrap(), std::slice::from_ref(&third));
    assert_eq!(store.refusals("a@b.example", 9).await.unwrap(), [second, first]);
    assert_eq!(store.refusals("other@firma.example", 9).await.unwrap(), []);
    assert_eq!(store.forget_refusals(at(30)).await.unwrap(), 2);
    assert_eq!(store.refusals("gone@firma.example", 9).await.unwrap(), [third]);
}

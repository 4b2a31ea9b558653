//! Channels of alerts and the outbox.

use pulsemx::alert::store::CHANNELS_MAX;
use pulsemx::alert::{AlertError, AlertRows, ChannelRow, Event, Fact, OutboxChange, Outgoing, Record, Terms};
use pulsemx::base::AccountId;

use crate::engine::{Engine, account, at, change, for_each_engine, new_account};

for_each_engine! {
    a_channel_is_kept_with_all_its_terms_and_goes_with_its_account,
    a_channel_is_removed_by_its_owner_alone_and_their_number_is_bounded,
    channels_of_the_configuration_keep_their_number_and_their_record,
    the_outbox_survives_a_restart_as_it_was_written,
}

fn channel(account: Option<AccountId>, url: &str) -> ChannelRow {
    let mut terms = Terms::ordinary(account.is_none());
    for (name, value) in [
        ("lang", "de"),
        ("zone", "Europe/Berlin"),
        ("quiet", "22:00-07:00"),
        ("delay", "5m"),
        ("recovery", "off"),
        ("kinds", "silent,quota"),
    ] {
        terms.set(name, value).unwrap();
    }
    ChannelRow {
        id: 0,
        account,
        url: url.to_owned(),
        sealed: Some(vec![1, 2, 3]),
        terms,
        is_configured: false,
        created_at: at(5),
        record: Record::default(),
    }
}

fn alert(id: i64, channel: i64) -> Outgoing {
    let event = Event {
        account: Some(AccountId(1)),
        account_name: "firma".to_owned(),
        endpoint: None,
        server: None,
        since: Some(at(3)),
        fact: Fact::Broken { reason: "550 \"nö\"".to_owned() },
    };
    Outgoing {
        id,
        channel,
        key: event.key(),
        event,
        made_at: at(4),
        due_at: at(5),
        attempts: 2,
        tried_at: Some(at(6)),
        is_open: true,
        sent_at: None,
    }
}

fn put(alert: &Outgoing) -> OutboxChange {
    OutboxChange::Put(Box::new(alert.clone()))
}

async fn a_channel_is_kept_with_all_its_terms_and_goes_with_its_account(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let mut row = channel(Some(one), "ntfy:https://n.example/t");
    row.id = engine.store().add_channel(row.clone(), "ntfy n.example".to_owned(), change(6)).await.unwrap();
    let mut operators = channel(None, "ntfy:https://n.example/op");
    operators.id = engine.store().add_channel(operators.clone(), "ntfy n.example".to_owned(), change(6)).await.unwrap();
    let alert = alert(70, row.id);
    engine.store().write_outbox(vec![put(&alert)]).await.unwrap();
    engine.restart();
    let stored = engine.store().load_alerts().await.unwrap();
    assert_eq!(stored, AlertRows { channels: vec![row.clone(), operators.clone()], outbox: vec![alert] });
    let audit = engine.store().audit(Some(one), 9).await.unwrap();
    assert!(audit.iter().any(|entry| entry.what == format!("alert.add {} ntfy n.example", row.id)), "{audit:?}");
    engine.store().remove_account(one, change(9)).await.unwrap();
    let stored = engine.store().load_alerts().await.unwrap();
    assert_eq!(stored, AlertRows { channels: vec![operators], outbox: Vec::new() });
    let nobody = engine.store().add_channel(row, String::new(), change(9)).await;
    assert!(matches!(nobody, Err(AlertError::NoAccount)), "{nobody:?}");
}

async fn a_channel_is_removed_by_its_owner_alone_and_their_number_is_bounded(engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let (other, _) = engine.store().create_account(new_account("zweite", 2), change(1)).await.unwrap();
    let add = async |owner| {
        engine.store().add_channel(channel(owner, "ntfy:https://n.example/t"), String::new(), change(2)).await
    };
    let mut last = 0;
    for _ in 0..CHANNELS_MAX {
        last = add(Some(one)).await.unwrap();
    }
    let full = add(Some(one)).await;
    assert!(matches!(full, Err(AlertError::Full)), "{full:?}");
    add(Some(other)).await.unwrap();
    add(None).await.unwrap();
    engine.store().write_outbox(vec![put(&alert(9, last))]).await.unwrap();
    for stranger in [Some(other), None] {
        let wrong = engine.store().remove_channel(stranger, last, change(3)).await;
        assert!(matches!(wrong, Err(AlertError::NoChannel(id)) if id == last), "{wrong:?}");
    }
    engine.store().remove_channel(Some(one), last, change(3)).await.unwrap();
    assert_eq!(engine.store().load_alerts().await.unwrap().outbox, []);
    assert!(add(Some(one)).await.unwrap() > last, "no number is given twice");
    let audit = engine.store().audit(Some(one), 3).await.unwrap();
    assert!(audit.iter().any(|entry| entry.what == format!("alert.remove {last}")), "{audit:?}");
}

async fn channels_of_the_configuration_keep_their_number_and_their_record(mut engine: Engine) {
    let configured = |url: &str| ChannelRow { is_configured: true, sealed: None, ..channel(None, url) };
    let (a, b, c) = ("command:/bin/a", "mailto:a@b.example", "ntfy:https://n.example/t");
    engine.store().settle_configured(vec![configured(a), configured(b)]).await.unwrap();
    let by_hand = engine.store().add_channel(channel(None, a), String::new(), change(1)).await.unwrap();
    let find =
        |rows: &AlertRows, url: &str| rows.channels.iter().find(|row| row.is_configured && row.url == url).cloned();
    let before = find(&engine.store().load_alerts().await.unwrap(), a).unwrap();
    let record = Record {
        last_sent_at: Some(at(1)),
        last_error: Some("x".to_owned()),
        last_error_at: Some(at(2)),
        failures: 3,
        failed_total: 4,
        lost_total: 5,
    };
    engine.store().write_outbox(vec![OutboxChange::Note(before.id, record.clone())]).await.unwrap();
    let refused = engine.store().remove_channel(None, before.id, change(2)).await;
    assert!(matches!(refused, Err(AlertError::Configured(_))), "{refused:?}");
    let mut changed = configured(a);
    changed.terms.set("lang", "en").unwrap();
    engine.store().settle_configured(vec![changed.clone(), configured(c)]).await.unwrap();
    engine.restart();
    let rows = engine.store().load_alerts().await.unwrap();
    assert_eq!(find(&rows, a), Some(ChannelRow { id: before.id, record, ..changed }));
    assert!(find(&rows, b).is_none() && find(&rows, c).is_some());
    assert!(rows.channels.iter().any(|row| row.id == by_hand), "what was added by command stays");
}

async fn the_outbox_survives_a_restart_as_it_was_written(mut engine: Engine) {
    let (one, _) = account(engine.store(), "firma", 1).await;
    let id = engine.store().add_channel(channel(Some(one), "x:y"), String::new(), change(2)).await.unwrap();
    let (first, second) = (alert(1, id), alert(2, id));
    let later = Outgoing { sent_at: Some(at(9)), ..first.clone() };
    let changes =
        vec![put(&second), put(&first), put(&later), put(&alert(3, 999)), put(&alert(4, id)), OutboxChange::Drop(4)];
    engine.store().write_outbox(changes).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().load_alerts().await.unwrap().outbox, [later, second]);
}

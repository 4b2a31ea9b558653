//! Who answers: mail goes only to a server that proves that it is the customer's.

use std::sync::Arc;

use pulsemx::account::Manners;
use pulsemx::delivery::identity::fingerprint;
use pulsemx::delivery::{Alarm, Flushes};
use pulsemx::liveness::LineState;
use pulsemx::spool::RecipientState::{Delivered, Queued, Refused};

use crate::support::{ACCOUNT, ENDPOINT, Heard, World, key_digest, new_identity, polite};

const ONE: &[&str] = &["a@firma.example"];
const TLS: &[&str] = &["PIPELINING", "STARTTLS"];

fn pin_of(world: &World) -> Option<[u8; 32]> {
    world.directory.load().endpoint(ENDPOINT).unwrap().pin
}

#[tokio::test]
async fn the_key_of_the_first_delivery_is_pinned_and_asked_for_from_then_on() {
    let identity = new_identity("primary.example");
    let world = World::known_by(Arc::clone(&identity), |_, heard| polite(heard, TLS), |_, _| {}).await;
    world.come_back();
    world.bell.until("the call", || world.view().proof.is_some()).await;
    assert_eq!(world.view().proof, Some("its heartbeats alone"), "shown until it is proven");
    assert_eq!(pin_of(&world), None, "a call alone proves nothing");
    world.store(1, ONE, b"x\r\n");
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.until_all(Delivered).await;
    world.bell.until("the pin", || pin_of(&world).is_some()).await;
    assert_eq!(pin_of(&world), Some(key_digest(&identity)));
    world.store(2, ONE, b"y\r\n");
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.until_all(Delivered).await;
    world.bell.until("the proof", || world.view().proof == Some("its pinned key")).await;
    assert!(matches!(&world.alarms()[..], [Alarm::PinMoved { .. }]));
}

/// RFC 8689 §4.2.1. A key of which only heartbeats speak may be that of somebody in the middle.
#[tokio::test]
async fn mail_that_demands_tls_goes_to_a_proven_key_alone() {
    const KEYWORDS: &[&str] = &["PIPELINING", "STARTTLS", "REQUIRETLS"];
    let demand = |world: &World| {
        let id = world.store(1, ONE, b"x\r\n");
        world.spool.edit(id, |message| message.requires_tls = true);
        world.come_back();
        id
    };
    let identity = new_identity("primary.example");
    let world = World::known_by(Arc::clone(&identity), |_, heard| polite(heard, KEYWORDS), |_, _| {}).await;
    world.pin(Some(key_digest(&identity)));
    demand(&world);
    world.until_all(Delivered).await;
    assert_eq!(world.primary.count("MAIL FROM:<sender@a.example> REQUIRETLS"), 1, "{:?}", world.primary.lines());
    for (keywords, is_pinned) in [(KEYWORDS, false), (TLS, true), (&["REQUIRETLS"], false)] {
        let world = World::known_by(Arc::clone(&identity), move |_, heard| polite(heard, keywords), |_, _| {}).await;
        world.pin(is_pinned.then(|| key_digest(&identity)));
        let id = demand(&world);
        world.bell.until("refusal", || world.spool.states(id) == [Refused]).await;
        assert!(world.spool.reply(id, 0).unwrap().text.starts_with("5.7.30 "));
        assert_eq!(world.primary.count("MAIL"), 0);
    }
}

#[tokio::test]
async fn a_stranger_gets_no_octet_of_mail_whatever_he_offers() {
    for keywords in [TLS, &["PIPELINING"]] {
        let stranger = new_identity("primary.example");
        let world = World::known_by(Arc::clone(&stranger), move |_, heard| polite(heard, keywords), |_, _| {}).await;
        world.pin(Some([7; 32]));
        let id = world.store(1, ONE, b"secret\r\n");
        world.come_back();
        world.bell.until("several tries", || world.primary.connections() >= 3).await;
        assert_eq!((world.primary.count("MAIL"), world.primary.octets()), (0, 0));
        assert_eq!((world.spool.states(id), world.spool.attempts(id)), (vec![Queued], 0));
        assert_eq!(world.lines.greeted.load(std::sync::atomic::Ordering::SeqCst), 0, "his greeting is nobody's return");
        let doubt = world.view().doubt.unwrap();
        assert!(doubt.contains(&fingerprint(&[7; 32])), "{doubt}");
        let alarms = world.alarms();
        assert_eq!(alarms.len(), 1, "{alarms:?}");
        if keywords == TLS {
            let key = key_digest(&stranger);
            assert!(doubt.contains(&fingerprint(&key)), "{doubt}");
            // A person says that this is meant.
            assert_eq!(world.view().strange_key.map(|strange| strange.key), Some(key));
            world.pin(Some(key));
            world.deliveries.retry(ACCOUNT);
            world.until_all(Delivered).await;
            assert!(matches!(&world.alarms()[..], [Alarm::Known { .. }]));
            assert_eq!((world.view().doubt, world.view().strange_key), (None, None));
        }
    }
}

#[tokio::test]
async fn a_certificate_for_the_registered_name_moves_the_pin_by_itself() {
    let renewed = new_identity("firma.dyn.example");
    let authority = renewed.cert.der().clone();
    let manner = |_: usize, heard: &Heard| polite(heard, TLS);
    let world =
        World::known_by(Arc::clone(&renewed), manner, |settings, _| settings.authorities = vec![authority]).await;
    world.pin(Some([7; 32]));
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    world.bell.until("the pin", || pin_of(&world) == Some(key_digest(&renewed))).await;
    assert_eq!(world.view().proof, Some("a certificate for its name"));
}

#[tokio::test]
async fn the_word_of_the_client_for_the_key_that_is_shown_moves_the_pin_and_for_another_one_does_not() {
    let renewed = new_identity("primary.example");
    let world = World::known_by(Arc::clone(&renewed), |_, heard| polite(heard, TLS), |_, _| {}).await;
    world.pin(Some([7; 32]));
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.bell.until("the doubt", || world.view().doubt.is_some()).await;
    assert!(world.deliveries.vouch(ENDPOINT, Some([8; 32])));
    world.deliveries.retry(ACCOUNT);
    let connections = world.primary.connections();
    world.bell.until("another try", || world.primary.connections() > connections).await;
    assert_eq!((world.primary.count("MAIL"), pin_of(&world)), (0, Some([7; 32])));
    assert!(world.deliveries.vouch(ENDPOINT, Some(key_digest(&renewed))));
    assert!(!world.deliveries.vouch(ENDPOINT, Some(key_digest(&renewed))), "no news");
    world.deliveries.retry(ACCOUNT);
    world.until_all(Delivered).await;
    world.bell.until("the pin", || pin_of(&world) == Some(key_digest(&renewed))).await;
    assert_eq!(world.view().proof, Some("the signed word of its client for the key"));
    let alarms = world.alarms();
    assert!(alarms.iter().any(|alarm| matches!(alarm, Alarm::PinMoved { .. })), "{alarms:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_nobody_moves_nothing() {
    for is_trusted in [true, false] {
        let other = new_identity(if is_trusted { "other.example" } else { "firma.dyn.example" });
        let authority = other.cert.der().clone();
        let manner = |_: usize, heard: &Heard| polite(heard, TLS);
        let world = World::known_by(other, manner, |settings, _| {
            settings.authorities = if is_trusted { vec![authority] } else { Vec::new() };
        })
        .await;
        world.pin(Some([7; 32]));
        world.store(1, ONE, b"x\r\n");
        world.come_back();
        world.bell.until("several tries", || world.primary.connections() >= 2).await;
        assert_eq!((world.primary.count("MAIL"), pin_of(&world)), (0, Some([7; 32])));
    }
}

#[tokio::test]
async fn a_pinned_server_is_never_spoken_to_in_plain_text_after_a_failed_handshake() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line == "STARTTLS" => crate::support::Act::SayAndClose(b"220 go\r\nnonsense".to_vec()),
        heard => polite(heard, TLS),
    })
    .await;
    world.pin(Some([7; 32]));
    world.store(1, ONE, b"x\r\n");
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world.bell.until("several tries", || world.primary.connections() >= 4).await;
    assert_eq!(world.primary.count("MAIL"), 0);
}

/// RFC 1870 §3, RFC 6531 §3.1: the door refuses at once what this server could never take.
#[tokio::test]
async fn what_a_server_offers_is_noted_once_and_again_when_it_changes() {
    let size = Arc::new(std::sync::Mutex::new("SIZE 1000"));
    let offered = Arc::clone(&size);
    let world = World::new(move |_, heard| polite(heard, &["SMTPUTF8", *offered.lock().unwrap()])).await;
    world.come_back();
    for number in 1..=2 {
        world.store(number, ONE, b"x\r\n");
        world.deliveries.mail_stored(&[ACCOUNT]);
        world.until_all(Delivered).await;
    }
    let noted = || world.manners.lock().unwrap().clone();
    assert_eq!(noted(), [Manners { octets_max: Some(1000), eight_bit_mime: false, smtputf8: true }]);
    *size.lock().unwrap() = "SIZE 0";
    world.store(3, ONE, b"x\r\n");
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.bell.until("the change", || noted().len() == 2).await;
    assert_eq!(noted()[1].octets_max, None);
}

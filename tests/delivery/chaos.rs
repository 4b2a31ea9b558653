//! Whatever a primary does, no message is lost: a model counts every one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulsemx::delivery::RetryTimes;
use pulsemx::spool::RecipientState::{Claimed, Delivered, Expired, Held, Queued, Refused};

use crate::support::{Act, Heard, Mail, TRACE, World, polite, say};

const MESSAGES: i64 = 40;

/// Answers of a server in trouble; after so many of them it is well again.
const TROUBLES: u32 = 60;

#[tokio::test]
async fn a_primary_in_every_kind_of_trouble_loses_no_message() {
    for seed in 1..=9u64 {
        let trouble = Arc::new(Mutex::new((seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0)));
        let keywords: &[&str] = match seed % 3 {
            0 => &["PIPELINING"],
            1 => &["PIPELINING", "STARTTLS"],
            _ => &[],
        };
        let manner =
            move |_: usize, heard: &Heard| troubled(&trouble, heard).unwrap_or_else(|| polite(heard, keywords));
        let world = World::with(manner, |settings, _| {
            settings.retry = RetryTimes::new([1, 2, 5].map(Duration::from_millis).to_vec());
        })
        .await;
        let mut ids = Vec::new();
        for id in 1..=MESSAGES {
            let content = format!("message {id}\r\n").repeat(500);
            let from = format!("s{id}@a.example");
            let to = ["a@firma.example", "b@firma.example"];
            ids.push(world.spool.store(&Mail { id, from: &from, to: &to, content: content.as_bytes() }));
        }
        world.come_back();
        let is_settled =
            || ids.iter().all(|id| world.spool.states(*id).iter().all(|state| matches!(state, Delivered | Refused)));
        world.bell.until(&format!("an end for every message, seed {seed}"), is_settled).await;
        let contents = world.primary.contents();
        for (id, number) in ids.iter().zip(1..) {
            let whole = [TRACE, format!("message {number}\r\n").repeat(500).as_bytes()].concat();
            for (state, ordinal) in world.spool.states(*id).into_iter().zip(0..) {
                match state {
                    Delivered => assert!(contents.contains(&whole), "seed {seed}: {number} was never there"),
                    Refused => {
                        let reply = world.spool.reply(*id, ordinal).unwrap();
                        assert_eq!(reply.code.map(|code| code / 100), Some(5), "seed {seed}: {number} {reply:?}");
                    }
                    Queued | Claimed | Held | Expired => panic!("seed {seed}: {number} is {state}"),
                }
            }
        }
        for content in &contents {
            assert!(content.is_empty() || content.starts_with(TRACE), "seed {seed}: cut content had a dot");
        }
        assert!(world.primary.connections() < 150, "seed {seed}: {} connections", world.primary.connections());
        world.shutdown.cancel();
        assert!(world.deliveries.drain().await);
    }
}

/// Some trouble, by chance.
fn troubled(state: &Mutex<(u64, u32)>, heard: &Heard) -> Option<Act> {
    let mut state = state.lock().unwrap();
    let (random, troubles) = &mut *state;
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    if *troubles >= TROUBLES || *random % 4 != 0 {
        return None;
    }
    *troubles += 1;
    let is_line = matches!(heard, Heard::Line(_));
    let act = match (*random >> 8) % 9 {
        0 => Act::Close,
        1 => Act::SayAndClose(b"421 4.3.2 going down\r\n".to_vec()),
        2 if *heard != Heard::Part => say("451 4.3.0 trouble"),
        3 if is_line || *heard == Heard::Content => say("550 5.7.1 no"),
        4 if is_line => say("452 4.5.3 too many"),
        5 if *heard != Heard::Part => Act::Say(b"nonsense\r\n".to_vec()),
        6 if *heard == Heard::Content => Act::Say(b"250 \xfc\n".to_vec()),
        7 if is_line => Act::SayAndClose(b"25".to_vec()),
        8 if *heard == Heard::Connect => say("554 5.3.2 not now"),
        _ => return None,
    };
    Some(act)
}

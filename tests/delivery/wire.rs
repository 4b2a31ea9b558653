//! Which octets reach the primary.

use std::sync::atomic::Ordering;

use pulsemx::spool::RecipientState::{Delivered, Refused};

use crate::support::{Act, Heard, MADE_PIECE, Mail, TRACE, World, polite};

const ONE: &[&str] = &["a@firma.example"];

#[tokio::test]
async fn content_arrives_byte_for_byte_below_the_trace() {
    let long = [b"y".repeat(70_000), b"\r\n".to_vec()].concat();
    let across = [b"z".repeat(999), b"\r\n.\r\n..\r\n".to_vec(), b"w".repeat(985), b"\r\n.dot\r\n".to_vec()].concat();
    let corpus: Vec<&[u8]> = vec![
        b"",
        b"\r\n",
        b".\r\n",
        b"..\r\n.\r\n...\r\n",
        b"a\r\n\r\n.\r\n\r\n",
        b"Subject: x\r\n\r\n\xe4\xf6\xfc\x00\xff\r\n",
        &long,
        &across,
    ];
    for keywords in [&["PIPELINING"][..], &["STARTTLS"]] {
        let world = World::new(move |_, heard| polite(heard, keywords)).await;
        for (content, id) in corpus.iter().zip(1..) {
            world.store(id, ONE, content);
        }
        world.come_back();
        world.until_all(Delivered).await;
        let expected: Vec<Vec<u8>> = corpus.iter().map(|content| [TRACE, content].concat()).collect();
        assert_eq!(world.primary.contents(), expected);
    }
}

#[tokio::test]
async fn content_without_a_final_crlf_gains_one() {
    let world = World::new(|_, heard| polite(heard, &[])).await;
    world.store(1, ONE, b"no end");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.contents(), [[TRACE, b"no end\r\n"].concat()]);
}

#[tokio::test]
async fn damaged_content_never_gets_its_dot_and_is_kept() {
    let world = World::new(|_, heard| polite(heard, &["PIPELINING"])).await;
    let damaged = world.store(1, ONE, &b"line\r\n".repeat(1000));
    world.spool.damage(damaged);
    let smuggled = world.store(2, ONE, b"a\n.\nMAIL FROM:<x@y>\r\n");
    let good = world.store(3, ONE, b"good\r\n");
    world.come_back();
    world.bell.until("delivery", || world.spool.states(good) == [Delivered]).await;
    world
        .bell
        .until("both refusals", || [damaged, smuggled].iter().all(|id| world.spool.states(*id) == [Refused]))
        .await;
    assert_eq!(world.spool.reply(damaged, 0).unwrap().text, "stored content is damaged");
    assert_eq!(world.primary.contents(), [[TRACE, b"good\r\n"].concat()]);
}

#[tokio::test]
async fn a_message_of_64_mib_is_never_in_memory_whole() {
    let pieces = 1024;
    let world = World::new(|_, heard| polite(heard, &["PIPELINING"])).await;
    world.spool.store_made(&Mail { id: 1, from: "", to: ONE, content: b"" }, pieces);
    world.come_back();
    world.until_all(Delivered).await;
    let piece = crate::support::made_piece(0).len();
    assert_eq!(world.primary.octets(), TRACE.len() + piece * pieces as usize);
    assert!(piece > MADE_PIECE / 2);
    let alive = world.spool.pieces_alive_max.load(Ordering::SeqCst);
    assert!(alive <= 2, "{alive} pieces were in memory");
}

#[tokio::test]
async fn an_offered_starttls_is_used_and_shown() {
    let world = World::new(|_, heard| polite(heard, &["STARTTLS", "PIPELINING"])).await;
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.count("STARTTLS"), 1);
    assert_eq!(world.primary.count("EHLO"), 2);
    let tls = world.view().last_tls.unwrap();
    assert!(tls.starts_with("TLSv1_3 ") && tls.contains("key sha256:"), "{tls}");
}

#[tokio::test]
async fn plain_text_behind_the_reply_to_starttls_ends_the_connection() {
    let world = World::new(|connection, heard| match heard {
        Heard::Line(line) if line == "STARTTLS" && connection == 0 => {
            Act::Say(b"220 go\r\n250-evil.injected\r\n250 PIPELINING\r\n".to_vec())
        }
        heard => polite(heard, &["STARTTLS"]),
    })
    .await;
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.bell.until("a problem on the page", || world.view().last_problem.is_some()).await;
    assert!(world.view().last_problem.unwrap().contains("plain text"));
    assert_eq!(world.primary.count("MAIL"), 0);
    world.until_all(Delivered).await;
    assert_eq!(world.primary.count("STARTTLS"), 2, "the next connection is encrypted all the same");
}

#[tokio::test]
async fn a_failed_handshake_makes_the_next_connection_plain() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line == "STARTTLS" => Act::SayAndClose(b"220 go\r\n".to_vec()),
        heard => polite(heard, &["STARTTLS"]),
    })
    .await;
    world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.count("STARTTLS"), 1);
    assert_eq!(world.primary.connections(), 2);
    assert!(world.view().last_tls.is_none());
}

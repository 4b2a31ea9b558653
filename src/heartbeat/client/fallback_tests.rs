//! The way over HTTPS in virtual time: the machine of the client against a hand-made server.

use super::super::cadence::Client;
use super::super::event::{ClientEvent, ClientKeys, ClientSettings};
use super::*;
use crate::heartbeat::datagram::{
    Challenge, ClientBody, ClientDatagram, ClientFlags, Header, Reason, Reply, ReplyFlags, ReplyState, ServerDatagram,
};
use crate::heartbeat::token::Token;

/// What lies between client and server.
struct Line {
    client: Client,
    token: Token,
    udp_works: bool,
    https_works: bool,
    /// Milliseconds and way of each datagram.
    sent: Vec<(u64, Way, ClientDatagram)>,
    answered: Vec<(u64, Way)>,
    events: Vec<(u64, ClientEvent)>,
}

impl Line {
    fn new(seed: u8, interval: Option<Duration>) -> Self {
        let token = Token::from_octets([9; 32]);
        let now = Moment::from_millis(0);
        let mut client = Client::new(ClientKeys::new(&token), ClientSettings { interval, path: 0 }, [seed; 32], now);
        client.offer_https();
        let (sent, answered, events) = (Vec::new(), Vec::new(), Vec::new());
        Self { client, token, udp_works: true, https_works: true, sent, answered, events }
    }

    fn answer(&mut self, way: Way, header: &Header, now: Moment) {
        let works = match way {
            Way::Udp => self.udp_works,
            Way::Https => self.https_works,
        };
        if !works {
            if way == Way::Https {
                self.client.handle_request_failed(now);
            }
            return;
        }
        let is_leaving = header.flags.has(ClientFlags::GOODBYE);
        let reply = Reply {
            seq: header.seq,
            observed: "192.0.2.7:1".parse().unwrap(),
            state: ReplyState::Online,
            flags: ReplyFlags::PROVEN.with(ReplyFlags::GOODBYE_DONE, is_leaving),
            server_time: 7_000,
            wall_s: 0,
            waiting: 0,
            interval_cs: header.interval_cs,
            next_cs: header.interval_cs,
            loss: 0,
            endpoint_index: 255,
            neutralised_after_cs: 1_700,
        };
        self.deliver(way, ServerDatagram::Reply(reply), header, now);
        self.answered.push((now.as_millis(), way));
    }

    fn deliver(&mut self, way: Way, datagram: ServerDatagram, header: &Header, now: Moment) {
        let octets = datagram.encode(&self.token.server_to_client(), header.boot, header.locator);
        match way {
            Way::Udp => self.client.handle_datagram(&octets, now),
            Way::Https => self.client.handle_response(&octets, now),
        }
    }

    fn drain(&mut self, now: Moment) {
        loop {
            let (way, octets) = match (self.client.poll_transmit(), self.client.poll_request()) {
                (Some(octets), None) => (Way::Udp, octets),
                (None, Some(octets)) => (Way::Https, octets),
                (Some(octets), Some(request)) => {
                    self.note(Way::Udp, &octets, now);
                    (Way::Https, request)
                }
                (None, None) => break,
            };
            self.note(way, &octets, now);
        }
        while let Some(event) = self.client.poll_event() {
            self.events.push((now.as_millis(), event));
        }
    }

    fn note(&mut self, way: Way, octets: &[u8], now: Moment) {
        let datagram = ClientDatagram::decode(octets).unwrap();
        let header = datagram.header;
        self.sent.push((now.as_millis(), way, datagram));
        self.answer(way, &header, now);
    }

    fn run_until(&mut self, end_ms: u64) {
        while let Some(now) = self.client.poll_timeout().filter(|now| now.as_millis() <= end_ms) {
            self.client.handle_timeout(now);
            self.drain(now);
        }
    }

    fn count(&self, way: Way, from: u64, to: u64) -> usize {
        self.sent.iter().filter(|(at, w, _)| *w == way && (from..to).contains(at)).count()
    }

    /// The longest time without an answer from `from` on.
    fn longest_silence(&self, from: u64, end: u64) -> u64 {
        let times: Vec<u64> = self.answered.iter().map(|(at, _)| *at).filter(|at| *at >= from).chain([end]).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX)
    }
}

#[test]
fn blocked_udp_leads_to_https_within_the_window_and_back_after_two_replies() {
    for seed in 0..50 {
        let mut line = Line::new(seed, None);
        line.run_until(60_000);
        assert_eq!(line.count(Way::Https, 0, 60_000), 0, "HTTPS is not touched while UDP answers");
        line.udp_works = false;
        line.run_until(360_000);
        let silence = line.longest_silence(50_000, 360_000);
        assert!(silence < 12_000, "seed {seed}: nothing was heard for {silence} ms");
        // Once HTTPS carries, UDP is only looked at every 30 s, and the beats keep their rhythm.
        assert!(line.count(Way::Udp, 100_000, 340_000) <= 9, "seed {seed}");
        let beats = line.count(Way::Https, 100_000, 340_000);
        assert!((46..=60).contains(&beats), "seed {seed}: {beats} beats in 240 s");
        line.udp_works = true;
        line.run_until(460_000);
        let back = line.events.iter().find(|(_, event)| *event == ClientEvent::WayChanged(Way::Udp)).unwrap().0;
        assert!(back <= 360_000 + 36_000, "seed {seed}: {back}");
        assert_eq!(line.count(Way::Https, back + 1, 460_000), 0);
        assert!(line.longest_silence(360_000, 460_000) < 6_000, "seed {seed}");
    }
}

#[test]
fn while_neither_works_https_is_tried_ever_more_rarely_and_udp_goes_on() {
    let mut line = Line::new(3, None);
    line.run_until(30_000);
    (line.udp_works, line.https_works) = (false, false);
    line.run_until(3_630_000);
    let tries = line.count(Way::Https, 0, 3_630_000);
    // An hour of waits drawn evenly below 60 s: about 120.
    assert!((80..=170).contains(&tries), "{tries}");
    assert!(line.count(Way::Udp, 3_000_000, 3_600_000) >= 110, "a beat each 5 s");
    line.udp_works = true;
    let before = line.answered.len();
    line.run_until(3_640_000);
    assert!(line.answered.len() > before && line.answered.last().unwrap().1 == Way::Udp);
    line.run_until(3_700_000);
    assert_eq!(line.count(Way::Https, 3_641_000, 3_700_000), 0);
}

#[test]
fn https_that_fails_under_way_hands_the_beat_back_to_udp_at_once() {
    let mut line = Line::new(5, None);
    line.udp_works = false;
    line.run_until(60_000);
    assert!(line.client.poll_timeout().is_some() && line.answered.last().unwrap().1 == Way::Https);
    (line.udp_works, line.https_works) = (true, false);
    line.run_until(70_000);
    let failed = line.sent.iter().find(|(at, way, _)| *at > 60_000 && *way == Way::Https).unwrap().0;
    let next = line.answered.iter().find(|(at, _)| *at > 60_000).unwrap();
    assert_eq!((next.0, next.1), (failed, Way::Udp), "in the same moment");
}

#[test]
fn a_challenge_in_an_answer_is_answered_the_same_way() {
    let mut line = Line::new(7, None);
    (line.udp_works, line.https_works) = (false, false);
    line.run_until(30_000);
    let (at, _, first) = line.sent.iter().rev().find(|(_, way, _)| *way == Way::Https).unwrap().clone();
    // Too late for this request by now: the failure was told. The next one is challenged instead.
    let mut now = at;
    let asked = loop {
        let due = line.client.poll_timeout().unwrap();
        now = now.max(due.as_millis());
        line.client.handle_timeout(due);
        while line.client.poll_transmit().is_some() {}
        if let Some(octets) = line.client.poll_request() {
            break ClientDatagram::decode(&octets).unwrap();
        }
    };
    assert!(asked.header.seq > first.header.seq || asked.header.boot != first.header.boot);
    let challenge = Challenge {
        seq: asked.header.seq,
        observed: "192.0.2.7:443".parse().unwrap(),
        reason: Reason::BootUnknown,
        wants_signature: true,
        path: 0,
        server_time: 99,
        cookie: [3; 16],
    };
    line.deliver(Way::Https, ServerDatagram::Challenge(challenge), &asked.header, Moment::from_millis(now));
    assert_eq!(line.client.poll_transmit(), None);
    let answer = ClientDatagram::decode(&line.client.poll_request().unwrap()).unwrap();
    assert!(matches!(answer.body, ClientBody::Answer { cookie, .. } if cookie == [3; 16]));
}

#[test]
fn slow_rhythms_fall_back_after_6_s_of_silence_too() {
    let mut line = Line::new(8, Some(Duration::from_secs(60)));
    line.run_until(200_000);
    line.udp_works = false;
    line.run_until(400_000);
    let first = line.sent.iter().find(|(at, way, _)| *at > 200_000 && *way == Way::Udp).unwrap().0;
    let request = line.sent.iter().find(|(_, way, _)| *way == Way::Https).unwrap().0;
    assert_eq!(request - first, 6_000);
}

#[test]
fn goodbye_goes_the_way_of_the_beats() {
    let mut line = Line::new(9, None);
    line.udp_works = false;
    line.run_until(60_000);
    line.client.say_goodbye(None, Moment::from_millis(60_000));
    line.drain(Moment::from_millis(60_000));
    assert_eq!(line.events.last().unwrap().1, ClientEvent::Ended { is_acknowledged: true });
}

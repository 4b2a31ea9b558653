//! One transaction: asks what its sender asks, and answers what follows.

mod message;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::Passages;
use super::pool::{IDLE_MAX, Line};
use crate::account::OnlineMode;
use crate::base::{AccountId, Clock, EndpointId, Mailbox, SpoolId};
use crate::delivery::board::Common;
use crate::delivery::call_out;
use crate::delivery::connection::{Connection, NotBegun};
use crate::delivery::dialogue::Unsendable;
use crate::delivery::flush::{Fare, Verdicts};
use crate::delivery::identity::Proof;
use crate::delivery::opening::{OpenFailure, Opened, Opening};
use crate::delivery::outcome::{Stage, Verdict, judge as judge_reply};
use crate::delivery::route::Leg;
use crate::delivery::schedule::BEAT_RECHECK;
use crate::delivery::through::crossing::{Crossing, Facts, Step, Words};
use crate::delivery::tls::TlsFacts;
use crate::delivery::wire::Reply;
use crate::smtp::reply;
use crate::smtp::through::{Answer, Handed, Introduction, passed_on};
use crate::spool::{Claimed, ClaimedRecipient, NewMessage, NewRecipient, Notify};

/// What a sender's session wants.
pub(super) enum Request {
    Recipient(Box<NewRecipient>, oneshot::Sender<Answer>),
    HandOver(Box<NewMessage>, oneshot::Sender<Handed>),
    Stored(bool),
}

/// See the file.
pub(super) struct Carrier {
    passages: Passages,
    common: Arc<Common>,
    introduction: Introduction,
    requests: mpsc::Receiver<Request>,
    crossing: Crossing,
    line: Option<Box<Line>>,
    /// A server that is being called.
    opening: Option<EndpointId>,
}

/// How an ask went wrong: whatever it is, the message is stored.
struct Failed;

impl Carrier {
    pub(super) fn new(passages: Passages, introduction: Introduction, requests: mpsc::Receiver<Request>) -> Self {
        let common = Arc::clone(&passages.0.common);
        let crossing = Crossing::new(common.settings.passing.budget);
        Self { passages, common, introduction, requests, crossing, line: None, opening: None }
    }

    /// Until the sender's session lets go.
    pub(super) async fn run(mut self) {
        loop {
            let is_open = self.line.is_some();
            let gone = until_gone(&self.common, self.line.as_ref().map(|line| line.leg.clone()));
            let request = tokio::select! {
                request = self.requests.recv() => request,
                // A slow sender does not hold the primary's session.
                () = sleep(self.common.settings.passing.sender), if is_open => {
                    self.crossing.handle_lost();
                    self.give_back().await;
                    continue;
                }
                () = gone, if is_open => {
                    self.crossing.handle_lost();
                    self.line = None;
                    continue;
                }
            };
            match request {
                Some(Request::Recipient(recipient, answer)) => {
                    let said = self.recipient(*recipient).await;
                    let _ = answer.send(said);
                }
                Some(Request::HandOver(message, answer)) => return self.hand_over(message, answer).await,
                Some(Request::Stored(_)) => {}
                None => break,
            }
            if self.crossing.is_over() {
                self.give_back().await;
            }
        }
        self.give_back().await;
    }

    // ---- recipients ----

    async fn recipient(&mut self, recipient: NewRecipient) -> Answer {
        let began = Instant::now();
        let left = self.crossing.left();
        let said = match timeout(left, self.ask(&recipient)).await {
            Ok(Ok(said)) => said,
            Ok(Err(Failed)) => Answer::Taken(self.lose(reply::RECIPIENT_OK)),
            Err(_) => {
                let endpoint = self.line.take().map(|line| line.leg.endpoint).or(self.opening.take());
                endpoint.into_iter().for_each(|endpoint| self.passages.0.through.handle_failure(endpoint));
                tracing::info!(account = %recipient.account, "a primary took too long for a waiting sender");
                Answer::Taken(self.lose(reply::RECIPIENT_OK))
            }
        };
        self.crossing.handle_spent(began.elapsed());
        said
    }

    /// From now on everything is stored.
    fn lose(&mut self, said: reply::Reply) -> reply::Reply {
        self.crossing.handle_lost();
        said
    }

    async fn ask(&mut self, recipient: &NewRecipient) -> Result<Answer, Failed> {
        let account = recipient.account;
        let step = self.crossing.handle_recipient();
        if let Step::Say(said) = step {
            return Ok(answer(said));
        }
        let leg = recipient.mailbox.domain().and_then(|domain| self.passages.leg(account, domain)).ok_or(Failed)?;
        if self.line.as_ref().is_some_and(|line| line.leg.endpoint != leg.endpoint) {
            return Err(Failed);
        }
        if self.passages.mode(account) == OnlineMode::Defer {
            return self.send_away(&leg, recipient).await;
        }
        let asked = claimed_recipient(recipient);
        let envelope = self.envelope(recipient);
        if step == Step::Begin {
            let facts = |carrier: &Self, line: &Line| carrier.facts(line, account, &recipient.mailbox);
            let said = match self.begin(&leg, account, &envelope).await? {
                Ok(said) => said,
                Err(unsendable) => return unsendable_words(unsendable),
            };
            let line = self.line.as_ref().ok_or(Failed)?;
            let facts = facts(self, line);
            if said.class() == 2 {
                self.passages.0.through.handle_well(&leg);
            }
            if let Some(words) = self.crossing.handle_mail(&said, facts) {
                tracing::info!(%account, code = said.code, reply = %said.text(), "a primary does not take a sender");
                return Ok(answer(words));
            }
        }
        let line = self.line.as_mut().ok_or(Failed)?;
        let wants_success = matches!(recipient.dsn.notify, Some(Notify::When { success: true, .. }));
        if wants_success && !line.connection.offers_dsn() {
            // Its notice is ours to send (RFC 3461 §5.2.2), and only stored mail has one.
            return Err(Failed);
        }
        let said = match line.connection.pass_recipient(&envelope, &asked).await {
            Ok(said) => said,
            Err(NotBegun::Unsendable(unsendable)) => return unsendable_words(unsendable),
            Err(NotBegun::Lost(why)) => return Err(self.break_off(why.text)),
        };
        Ok(self.judge(account, &recipient.mailbox, &said).await)
    }

    /// What follows from the reply to RCPT, for the sender and for what is known.
    async fn judge(&mut self, account: AccountId, mailbox: &Mailbox, said: &Reply) -> Answer {
        let Some(line) = &self.line else { return Answer::Taken(self.lose(reply::RECIPIENT_OK)) };
        let facts = self.facts(line, account, mailbox);
        let mut words = self.crossing.handle_rcpt(said, facts);
        match &words {
            Words::Taken(_) => {
                self.learn(account, mailbox, true);
                let verdict = Verdict::Delivered(crate::delivery::outcome::words(said));
                self.fare(account, mailbox, &verdict).await;
            }
            Words::Refused(_) if said.class() == 5 => {
                if said.enhanced() == Some("5.1.1") {
                    self.learn(account, mailbox, false);
                }
                let verdict = judge_reply(said, Stage::Rcpt);
                // The refusal that shows that the server is broken is not the sender's any more.
                if self.fare(account, mailbox, &verdict).await {
                    words = self.crossing.handle_lost();
                }
            }
            Words::Refused(_) | Words::Ours => {}
        }
        tracing::info!(%account, recipient = %mailbox, code = said.code, reply = %said.text(), "a primary was asked for a waiting sender");
        answer(words)
    }

    fn facts(&self, line: &Line, account: AccountId, mailbox: &Mailbox) -> Facts {
        Facts {
            is_handed_on: line.connection.is_client_handed_on(),
            is_well: self.passages.0.through.is_well_at(&line.leg),
            is_believed: self.common.believes_refusal(account, self.is_known_good(account, mailbox)),
        }
    }

    fn is_known_good(&self, account: AccountId, mailbox: &Mailbox) -> bool {
        self.common.witness.get().is_some_and(|witness| witness.is_known_good(account, mailbox))
    }

    fn learn(&self, account: AccountId, mailbox: &Mailbox, is_accepted: bool) {
        if let Some(witness) = self.common.witness.get() {
            witness.handle_recipient(account, mailbox, is_accepted);
        }
    }

    /// Tells the breaker. True if it is open.
    async fn fare(&self, account: AccountId, mailbox: &Mailbox, verdict: &Verdict) -> bool {
        let is_known_good = self.is_known_good(account, mailbox);
        let mailbox = mailbox.to_string();
        let fare = Fare { mailbox: &mailbox, is_known_good, verdict };
        match self.common.fared(account, &fare) {
            Verdicts::Quiet => {}
            Verdicts::Opened(reason) => self.common.store_breaker(account, Some(reason)).await,
            Verdicts::Closed => self.common.store_breaker(account, None).await,
        }
        self.common.is_broken(account)
    }

    /// Mode *defer*: the sender is to use the primary, if that is there for others as well.
    async fn send_away(&mut self, leg: &Leg, recipient: &NewRecipient) -> Result<Answer, Failed> {
        let account = recipient.account;
        if recipient.mailbox.local_part.is_role() {
            return Err(Failed);
        }
        if !self.passages.0.through.is_verified(leg.endpoint) {
            let line = self.open(leg, account).await?;
            self.keep(line);
        }
        if self.passages.defers(account, leg.endpoint, &self.introduction) {
            tracing::info!(%account, peer = %self.introduction.peer, "a sender is sent to the primary");
            return Ok(Answer::Refused(reply::USE_PRIMARY));
        }
        Err(Failed)
    }

    // ---- connections ----

    /// Says MAIL on a connection that waited or a new one.
    async fn begin(
        &mut self,
        leg: &Leg,
        account: AccountId,
        envelope: &Claimed,
    ) -> Result<Result<Reply, Unsendable>, Failed> {
        let knows_octets = self.introduction.declared_octets.is_some();
        loop {
            let line = match self.passages.0.through.pool.take(leg) {
                Some(line) => line,
                None => self.open(leg, account).await?,
            };
            self.common.may_send(leg).map_err(|_| Failed)?;
            self.crossing.set_one_by_one(self.common.is_one_by_one(account, leg.endpoint));
            let line = self.line.insert(line);
            line.count += 1;
            match line.connection.begin_passing(envelope, knows_octets).await {
                Ok(said) => {
                    line.is_reused = false;
                    return Ok(Ok(said));
                }
                Err(NotBegun::Unsendable(unsendable)) => return Ok(Err(unsendable)),
                // It was closed while it waited; the next one says more.
                Err(NotBegun::Lost(_)) if line.is_reused => self.line = None,
                Err(NotBegun::Lost(why)) => return Err(self.break_off(why.text)),
            }
        }
    }

    fn break_off(&mut self, why: String) -> Failed {
        if let Some(line) = self.line.take() {
            tracing::info!(peer = %line.leg.target, reason = %why, "a primary was lost while a sender waited");
            self.passages.0.through.handle_failure(line.leg.endpoint);
        }
        Failed
    }

    /// A new connection to a server that has proven itself.
    async fn open(&mut self, leg: &Leg, account: AccountId) -> Result<Box<Line>, Failed> {
        self.opening = Some(leg.endpoint);
        let line = self.open_line(leg, account).await;
        self.opening = None;
        line
    }

    async fn open_line(&self, leg: &Leg, account: AccountId) -> Result<Box<Line>, Failed> {
        let through = &self.passages.0.through;
        let place = through.take_place(account).ok_or(Failed)?;
        let permit = self.common.spare_place().ok_or(Failed)?;
        let settings = &through.settings;
        let greeting = settings.timeouts.greeting;
        let opening = Opening { settings, leg, tls: &self.common.tls, is_plain: false, greeting };
        let mut opened = match opening.run().await {
            Ok(opened) => opened,
            Err(failure) => return Err(self.handle_unopened(leg, account, &failure)),
        };
        let proof = match self.common.judge(leg, opened.tls.as_ref()) {
            Ok(proof) => proof,
            Err(doubt) => return Err(self.handle_unopened(leg, account, &OpenFailure::Stranger(doubt))),
        };
        opened.is_key_proven = opened.tls.is_some() && !matches!(proof, Proof::Beat { .. });
        let to_pin = self.greeted(leg, account, &opened, proof);
        let begun = Connection::begin(opened, &settings.hostname, settings.timeouts, false).await;
        let connection = begun.map_err(|why| {
            tracing::info!(%account, peer = %leg.target, reason = %why, "a primary cannot be spoken to");
            Failed
        })?;
        through.handle_verified(leg.endpoint);
        Ok(Box::new(Line { connection, leg: leg.clone(), to_pin, count: 0, is_reused: false, permit, place }))
    }

    /// Somebody else answers, or nobody: never the fate of this mail. The flush that follows holds and retries.
    fn handle_unopened(&self, leg: &Leg, account: AccountId, failure: &OpenFailure) -> Failed {
        tracing::info!(%account, peer = %leg.target, reason = %failure, "a primary was not reached for a waiting sender");
        self.passages.0.through.handle_failure(leg.endpoint);
        match failure {
            OpenFailure::Identity(why) => self.common.handle_stranger(account, leg.endpoint, why, None),
            OpenFailure::Stranger(doubt) => {
                self.common.handle_stranger(account, leg.endpoint, &doubt.to_string(), Some(doubt));
            }
            OpenFailure::Unreachable(_) | OpenFailure::Busy(_) | OpenFailure::Handshake(_) => {}
        }
        Failed
    }

    fn greeted(
        &self,
        leg: &Leg,
        account: AccountId,
        opened: &Opened,
        proof: Proof,
    ) -> Option<([u8; 32], &'static str)> {
        self.common.lines.primary_greeted(leg.endpoint, leg.target.ip());
        let tls = opened.tls.as_ref().map(TlsFacts::summary);
        self.common.edit_view(account, |view| {
            view.last_tls = tls;
            view.proof = Some(proof.words());
        });
        if leg.pin.is_some() {
            self.common.handle_known(account, leg.endpoint);
        }
        proof.to_pin()
    }

    /// The connection's transaction ends, and the next sender may have it.
    async fn give_back(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        let may_stay = self.common.may_send(&line.leg).is_ok() && !self.common.is_place_awaited();
        let limit = self.passages.0.through.settings.timeouts.quit;
        if !may_stay {
            // A server that beats no longer vouch for is not waited for; else politeness.
            if self.common.may_await(&line.leg).is_ok() {
                line.connection.quit().await;
            }
            return;
        }
        if matches!(timeout(limit, line.connection.end_passing()).await, Ok(true)) {
            self.keep(line);
        }
    }

    fn keep(&self, line: Box<Line>) {
        let through = Arc::clone(&self.passages.0.through);
        let (common, shutdown) = (Arc::clone(&self.common), self.common.shutdown.clone());
        match through.pool.put(line) {
            Err(line) => drop(self.passages.0.workers.spawn(line.connection.quit())),
            Ok(number) => {
                self.passages.0.workers.spawn(async move {
                    tokio::select! {
                        () = sleep(IDLE_MAX) => {}
                        () = shutdown.cancelled() => {}
                    }
                    let Some(line) = through.pool.expire(number) else { return };
                    let account = common.directory.load().endpoint(line.leg.endpoint).map(|endpoint| endpoint.account);
                    match account.filter(|_| !shutdown.is_cancelled()) {
                        Some(account) => call_out::part(&common, account, &line.leg, line.connection).await,
                        None => line.connection.quit().await,
                    }
                });
            }
        }
    }

    /// The envelope before its content is known.
    fn envelope(&self, first: &NewRecipient) -> Claimed {
        let Introduction { peer, helo, reverse_path, declared_octets, body, smtputf8, requires_tls, dsn } =
            &self.introduction;
        Claimed {
            id: SpoolId::from_i64(0),
            accepted_at: Clock.wall(),
            reverse_path: reverse_path.clone(),
            smtputf8: *smtputf8,
            requires_tls: *requires_tls,
            body: *body,
            dsn: dsn.clone(),
            trace: Bytes::new(),
            sha256: [0; 32],
            octets: declared_octets.unwrap_or(0),
            chunks: 0,
            peer: *peer,
            helo: helo.clone(),
            recipients: vec![claimed_recipient(first)],
        }
    }
}

fn claimed_recipient(recipient: &NewRecipient) -> ClaimedRecipient {
    ClaimedRecipient {
        ordinal: 0,
        mailbox: recipient.mailbox.clone(),
        dsn: recipient.dsn.clone(),
        attempts: 0,
        refusals: 0,
        is_known_good: false,
    }
}

fn answer(words: Words) -> Answer {
    match words {
        Words::Ours => Answer::Taken(reply::RECIPIENT_OK),
        Words::Taken(said) => Answer::Taken(passed_reply(&said)),
        Words::Refused(said) => Answer::Refused(passed_reply(&said)),
    }
}

fn passed_reply(said: &Reply) -> reply::Reply {
    passed_on(said.code, said.enhanced(), &said.lines)
}

/// RFC 6531 §3.5: known before the content is sent. Who asks for a proven way (RFC 8689 §4.2) is stored: the flush finds
/// one, or says what is missing.
fn unsendable_words(unsendable: Unsendable) -> Result<Answer, Failed> {
    match unsendable {
        Unsendable::NeedsSmtpUtf8 => Ok(Answer::Refused(reply::NO_SMTPUTF8_THERE)),
        Unsendable::UnsafeAddress => Ok(Answer::Refused(reply::BAD_RECIPIENT)),
        Unsendable::NeedsRequireTls => Err(Failed),
    }
}

/// Waits until nobody is there any more to answer on a connection to this server; for ever without one.
async fn until_gone(common: &Arc<Common>, leg: Option<Leg>) {
    let Some(leg) = leg else { return std::future::pending().await };
    let account = common.directory.load().endpoint(leg.endpoint).map(|endpoint| endpoint.account);
    let Some(account) = account else { return };
    let mut bell = common.bell(account);
    while common.may_await(&leg).is_ok() {
        tokio::select! {
            _ = bell.changed() => {}
            () = sleep(BEAT_RECHECK) => {}
        }
    }
}

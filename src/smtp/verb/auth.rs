//! AUTH: a customer's server proves whose it is, so that it may say ETRN from any address (RFC 4954). Nothing else is
//! opened by it: whoever has proven himself may not relay either.

use crate::base::Moment;
use crate::smtp::command::Auth;
use crate::smtp::login::{Credentials, Step};
use crate::smtp::rates::Deed;
use crate::smtp::reply::{self, Reply};
use crate::smtp::session::{Security, Session, World};

impl Session {
    /// Under TLS alone, and only where some customer has a token for it.
    pub(in crate::smtp) fn offers_auth(&self, world: &dyn World) -> bool {
        matches!(self.security, Security::Tls { .. }) && world.takes_logins()
    }

    pub(in crate::smtp) fn auth(&mut self, auth: Auth, world: &dyn World, now: Moment) {
        if !world.takes_logins() {
            return self.refuse(&reply::NOT_OFFERED);
        }
        if !self.offers_auth(world) {
            return self.refuse(&reply::AUTH_NEEDS_TLS);
        }
        match self.between_transactions() {
            Ok(greeting) if greeting.is_extended => {}
            Ok(_) => return self.refuse(&reply::EHLO_FIRST),
            Err(refusal) => return self.refuse(&refusal),
        }
        if self.login.account().is_some() {
            return self.refuse(&reply::AUTH_ALREADY);
        }
        let Some(mechanism) = auth.mechanism else { return self.refuse(&reply::AUTH_UNKNOWN) };
        let step = self.login.begin(mechanism, auth.response.as_ref().map(|text| text.as_str()));
        self.auth_step(step, world, now);
    }

    /// A line that is an answer.
    pub(in crate::smtp) fn auth_line(&mut self, line: &[u8], world: &dyn World, now: Moment) {
        let step = self.login.answer(line);
        self.auth_step(step, world, now);
    }

    fn auth_step(&mut self, step: Result<Step, Reply>, world: &dyn World, now: Moment) {
        match step {
            Ok(Step::Ask(question)) => self.say(&question),
            Ok(Step::Judge(credentials)) => match holder(&credentials, world) {
                Some(account) => {
                    tracing::info!(peer = %self.peer, %account, "AUTH");
                    self.login.succeed(account);
                    self.say(&reply::AUTH_DONE);
                }
                None => self.auth_failed(world, now),
            },
            Err(refusal) if refusal == reply::AUTH_WRONG => self.auth_failed(world, now),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Said after a pause, and a few times only: whoever guesses shall not guess fast.
    fn auth_failed(&mut self, world: &dyn World, now: Moment) {
        tracing::info!(peer = %self.peer, "AUTH refused");
        let has_budget = !self.has_limits || world.admits(self.peer, Deed::Refusal, now);
        let is_last = self.login.fail() || !has_budget;
        self.brake.handle_wrong_proof(now);
        self.held = Some(if is_last { reply::AUTH_TOO_OFTEN } else { reply::AUTH_WRONG });
    }
}

/// The account whose token this is, if it is also the one that was named.
fn holder(credentials: &Credentials, world: &dyn World) -> Option<crate::base::AccountId> {
    let account = world.login(&credentials.secret)?;
    let directory = world.directory();
    let is_named = |name: &str| name.eq_ignore_ascii_case(&credentials.name);
    directory.account(account).filter(|known| is_named(known.name.as_str())).map(|known| known.id)
}

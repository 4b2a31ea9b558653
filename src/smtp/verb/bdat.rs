//! BDAT: content in chunks of an announced length (RFC 3030 §2), and the chunks of messages that are not taken.
//!
//! Between its chunks a message is answered with 250 even when it is condemned already; like after DATA, the verdict
//! comes with the end. A sender that pipelines its chunks and looks at the last reply only would otherwise read of
//! its own commands out of order instead of the reason.

use bytes::{Buf, BytesMut};

use crate::base::Moment;
use crate::smtp::command::Chunk;
use crate::smtp::reply::{self, Reply};
use crate::smtp::session::{Greeting, RefusedChunk, Session, State, World};

impl Session {
    /// Whatever the reply will be, the octets of the chunk come next. A refused chunk ends the transaction: a later
    /// one must not become a message without its beginning.
    pub(in crate::smtp) fn bdat(&mut self, chunk: Chunk, world: &dyn World, now: Moment) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Transaction(greeting, envelope) if envelope.recipients.is_empty() => {
                self.refuse_chunk(Some(greeting), chunk, reply::NO_RECIPIENTS, now);
            }
            State::Transaction(greeting, envelope) => {
                let mut content = self.begin_content(&envelope, world, now);
                content.reader.begin_chunk(chunk.octets);
                content.is_last = chunk.is_last;
                self.pace.handle_content(0, now);
                self.state = State::Content(greeting, envelope, content);
            }
            State::Chunks(greeting, envelope, mut content) => {
                content.reader.begin_chunk(chunk.octets);
                content.is_last = chunk.is_last;
                self.pace.resume_content(content.spent, content.reader.octets(), now);
                self.state = State::Content(greeting, envelope, content);
            }
            State::Greeted(greeting) => self.refuse_chunk(Some(greeting), chunk, reply::MAIL_FIRST, now),
            State::Fresh => self.refuse_chunk(None, chunk, reply::EHLO_FIRST, now),
            state @ (State::Content(..)
            | State::Swallow(_)
            | State::Committing(..)
            | State::Handshake
            | State::Closed) => self.state = state,
        }
    }

    fn refuse_chunk(&mut self, greeting: Option<Greeting>, chunk: Chunk, reply: Reply, now: Moment) {
        self.pace.handle_content(0, now);
        self.state = State::Swallow(Box::new(RefusedChunk { greeting, left: chunk.octets, taken: 0, reply }));
    }

    /// The chunk that was being read is complete, its message is not.
    pub(super) fn chunk_ended(&mut self, now: Moment) {
        let State::Content(greeting, envelope, mut content) = std::mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        content.spent = self.pace.content_spent(now);
        self.pace.handle_command(now);
        self.state = State::Chunks(greeting, envelope, content);
        self.say(&reply::CHUNK_OK);
    }

    /// Reads a refused chunk over. False when more of it has to come.
    pub(in crate::smtp) fn swallow(&mut self, input: &mut BytesMut, now: Moment) -> bool {
        let State::Swallow(refused) = &mut self.state else { return true };
        let octets = usize::try_from(refused.left).unwrap_or(usize::MAX).min(input.len());
        input.advance(octets);
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        refused.left = refused.left.saturating_sub(octets);
        refused.taken = refused.taken.saturating_add(octets);
        if refused.left > 0 {
            self.pace.handle_content(refused.taken, now);
            return false;
        }
        let reply = refused.reply.clone();
        self.state = refused.greeting.take().map_or(State::Fresh, State::Greeted);
        self.pace.handle_command(now);
        self.refuse(&reply);
        true
    }
}

//! RFC 5321 §4.1.4: order of commands.

use crate::support::Target;

#[test]
fn ehlo_in_a_transaction_ends_it() {
    let mut peer = Target::start().greeted();
    peer.ask("MAIL FROM:<a@sender.example>", 250);
    peer.ask("EHLO sender.example", 250);
    peer.ask("MAIL FROM:<a@sender.example>", 250);
}

#[test]
fn noop_rset_vrfy_help_and_quit_need_no_ehlo() {
    let mut peer = Target::start().connect();
    peer.ask("NOOP", 250);
    peer.ask("RSET", 250);
    peer.ask("HELP", 214);
    peer.ask("QUIT", 221);
}

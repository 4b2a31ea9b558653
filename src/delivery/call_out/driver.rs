//! Before a connection ends, its server may be asked for an address that nobody has: one that takes it takes every address,
//! and what it accepts tells nothing of who lives there.

use data_encoding::BASE32_NOPAD;

use crate::base::{AccountId, DomainName, Mailbox};
use crate::delivery::board::Common;
use crate::delivery::connection::Connection;
use crate::delivery::route::Leg;

/// Octets of chance in the address: nobody has it by accident, and no server can know it.
const CHANCE_OCTETS: usize = 15;

/// Domains of a server that it is asked about at the end of one connection; the others have their turn later.
const CALL_OUTS_MAX: usize = 8;

/// Takes leave of a server for which beats vouch; asks it before, where its answer is wanted.
pub async fn part(common: &Common, account: AccountId, leg: &Leg, mut connection: Connection) {
    // Only a server that just took mail is well, and the customer's without doubt.
    let domains = if connection.has_taken_mail() { wanted(common, account, leg) } else { Vec::new() };
    for domain in domains {
        let Some(stranger) = stranger(&domain) else { continue };
        let Ok(answer) = connection.call_out(&stranger).await else { return };
        tracing::info!(%account, %domain, peer = %leg.target, takes_everybody = ?answer, "a server was asked for an address that nobody has");
        if let (Some(takes_everybody), Some(witness)) = (answer, common.witness.get()) {
            witness.handle_call_out(account, &domain, takes_everybody);
        }
    }
    connection.quit().await;
}

/// The domains that this server is to be asked about now. A detour is another server, and a rewritten domain another domain.
fn wanted(common: &Common, account: AccountId, leg: &Leg) -> Vec<DomainName> {
    let Some(witness) = common.witness.get() else { return Vec::new() };
    let directory = common.directory.load();
    if leg.is_detour || directory.preferences(account).rewrite.is_some() || common.may_send(leg).is_err() {
        return Vec::new();
    }
    let own = directory.domains_of(account).into_iter().filter(|domain| domain.endpoints.contains(&leg.endpoint));
    let wanted = own.filter(|domain| witness.wants_call_out(account, &domain.name));
    wanted.take(CALL_OUTS_MAX).map(|domain| domain.name.clone()).collect()
}

fn stranger(domain: &DomainName) -> Option<Mailbox> {
    let mut chance = [0; CHANCE_OCTETS];
    getrandom::fill(&mut chance).ok()?;
    let name = BASE32_NOPAD.encode(&chance).to_lowercase();
    Mailbox::parse(&format!("{name}@{domain}"), false).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_another_one_each_time_and_can_be_a_mailbox() {
        let domain = DomainName::parse("firma.example").unwrap();
        let (one, other) = (stranger(&domain).unwrap().to_string(), stranger(&domain).unwrap().to_string());
        assert!(one != other && one.ends_with("@firma.example") && one.len() == 24 + 14, "{one} {other}");
    }
}

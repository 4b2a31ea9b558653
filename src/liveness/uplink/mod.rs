//! Asks a few addresses outside whether our own uplink works, only while a mass miss is on.
//!
//! Asked is with a TCP connection: the handshake is a round trip that only a working line of that address family
//! completes, any public service will do (a resolver's port 53, a web server), and nothing has to be parsed.

pub mod driver;

use std::net::SocketAddr;

use super::guard::UplinkProof;

/// What these answers prove. One address of a family that answers is enough for that family.
#[must_use]
pub fn proof(answers: &[(SocketAddr, bool)]) -> UplinkProof {
    let mut proof = UplinkProof::default();
    for (address, is_up) in answers {
        let family = if address.is_ipv4() { &mut proof.v4 } else { &mut proof.v6 };
        *family = Some(family.unwrap_or(false) || *is_up);
    }
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_of_a_family_that_answers_is_enough_and_a_family_without_one_is_not_known() {
        let of = |text: &str, is_up| (text.parse().unwrap(), is_up);
        let answers = [of("192.0.2.1:53", false), of("192.0.2.2:53", true)];
        assert_eq!(proof(&answers), UplinkProof { v4: Some(true), v6: None });
        let answers = [of("[2001:db8::1]:53", false), of("192.0.2.2:53", true)];
        assert_eq!(proof(&answers), UplinkProof { v4: Some(true), v6: Some(false) });
        assert_eq!(proof(&[]), UplinkProof::default());
    }
}

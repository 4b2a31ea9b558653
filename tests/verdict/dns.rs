//! A name server on loopback that knows what a test tells it, and counts who asks.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use mail_auth::hickory_resolver::proto::op::{Message, ResponseCode};
use mail_auth::hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, TXT};
use mail_auth::hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

/// A name as it is written; one with odd octets label by label.
fn host_name(text: &str) -> Name {
    let by_label = || Name::from_labels(text.trim_end_matches('.').split('.').map(str::as_bytes));
    Name::from_ascii(text).or_else(|_| by_label()).unwrap()
}

/// Records by lower-case name without the final dot.
#[derive(Default)]
pub(crate) struct Zone(HashMap<String, Vec<RData>>, Vec<String>);

impl Zone {
    pub(crate) fn txt(mut self, name: &str, text: &str) -> Self {
        let strings = text.as_bytes().chunks(200).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
        self.0.entry(name.to_owned()).or_default().push(RData::TXT(TXT::new(strings)));
        self
    }

    pub(crate) fn address(mut self, name: &str, address: &str) -> Self {
        let data = match address.parse().unwrap() {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        self.0.entry(name.to_owned()).or_default().push(data);
        self
    }

    #[allow(dead_code, reason = "tests of outgoing mail use it")]
    pub(crate) fn mx(mut self, name: &str, preference: u16, host: &str) -> Self {
        let data = RData::MX(MX::new(preference, host_name(host)));
        self.0.entry(name.to_owned()).or_default().push(data);
        self
    }

    #[allow(dead_code, reason = "tests of surveys use it")]
    pub(crate) fn ns(mut self, name: &str, host: &str) -> Self {
        let data = RData::NS(NS(host_name(host)));
        self.0.entry(name.to_owned()).or_default().push(data);
        self
    }

    #[allow(dead_code, reason = "tests of surveys use it")]
    pub(crate) fn alias(mut self, name: &str, target: &str) -> Self {
        let data = RData::CNAME(CNAME(host_name(target)));
        self.0.entry(name.to_owned()).or_default().push(data);
        self
    }

    pub(crate) fn pointer(mut self, address: &str, name: &str) -> Self {
        let reverse = Name::from(address.parse::<IpAddr>().unwrap()).to_ascii();
        let target = RData::PTR(PTR(Name::from_ascii(name).unwrap()));
        self.0.entry(reverse.trim_end_matches('.').to_ascii_lowercase()).or_default().push(target);
        self
    }

    /// Questions for this name and below it are never answered.
    #[allow(dead_code, reason = "tests of outgoing mail need none")]
    pub(crate) fn silent(mut self, name: &str) -> Self {
        self.1.push(name.to_owned());
        self
    }

    /// Serves it until the test ends.
    pub(crate) async fn serve(self) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        tokio::spawn(answer(socket, self, Arc::clone(&asked)));
        Server { address, asked }
    }

    fn reply(&self, query: &Message) -> Message {
        let question = query.queries.first().unwrap();
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.add_query(question.clone());
        reply.metadata.recursion_available = true;
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        match self.0.get(&name) {
            None => reply.metadata.response_code = ResponseCode::NXDomain,
            Some(records) => {
                let wanted: RecordType = question.query_type();
                for data in records.iter().filter(|data| [wanted, RecordType::CNAME].contains(&data.record_type())) {
                    reply.add_answer(Record::from_rdata(question.name().clone(), 60, data.clone()));
                    let RData::CNAME(target) = data else { continue };
                    let target = &target.0;
                    let followed = self.0.get(target.to_ascii().trim_end_matches('.'));
                    for data in followed.into_iter().flatten().filter(|data| data.record_type() == wanted) {
                        reply.add_answer(Record::from_rdata(target.clone(), 60, data.clone()));
                    }
                }
            }
        }
        reply
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// The names that were asked for, in lower case.
    pub(crate) fn names_asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(socket: UdpSocket, zone: Zone, asked: Arc<Mutex<Vec<String>>>) {
    let mut octets = [0u8; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut octets).await {
        let Ok(query) = Message::from_vec(&octets[..length]) else { continue };
        let name = query.queries[0].name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        asked.lock().unwrap().push(name.clone());
        if zone.1.iter().any(|silent| name == *silent || name.ends_with(&format!(".{silent}"))) {
            continue;
        }
        let reply = zone.reply(&query).to_vec().unwrap();
        socket.send_to(&reply, peer).await.unwrap();
    }
}

/// An address where questions arrive and nobody answers.
pub(crate) async fn silent() -> (SocketAddr, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    (socket.local_addr().unwrap(), socket)
}

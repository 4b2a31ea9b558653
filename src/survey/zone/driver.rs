//! Asks the usual names of a domain, a few at a time.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use hickory_proto::rr::RecordType;
use tokio::time::{Instant, timeout_at};

use super::{APEX, HOSTS, Public, SERVICES, TEXTS};
use crate::base::DomainName;
use crate::dns::owner::Owner;
use crate::dns::zone::ZoneRecord;
use crate::survey::Surveyor;
use crate::survey::facts::Answer;

/// Questions that are open at one time.
const AT_ONCE: usize = 8;
/// For all of them; what is open then counts as unanswered.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Letters of a name that nobody has, to find a wildcard.
const STRAY_OCTETS: usize = 10;

impl Surveyor {
    /// What the public DNS tells of a domain when it is asked for the usual names. Takes a minute at most.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub async fn public_records(&self, domain: &DomainName) -> Result<Public, getrandom::Error> {
        let mut stray = [0; STRAY_OCTETS];
        getrandom::fill(&mut stray)?;
        let stray = data_encoding::HEXLOWER.encode(&stray);
        let below = |names: &[&str], kinds: &[RecordType]| -> Vec<(String, RecordType)> {
            let each = names.iter().flat_map(|name| kinds.iter().map(move |kind| (format!("{name}.{domain}"), *kind)));
            each.collect()
        };
        let both = [RecordType::A, RecordType::AAAA];
        let mut questions: Vec<(String, RecordType)> = APEX.iter().map(|kind| (domain.to_string(), *kind)).collect();
        questions.extend(below(HOSTS, &both));
        questions.extend(below(TEXTS, &[RecordType::TXT]));
        questions.extend(below(SERVICES, &[RecordType::SRV]));
        let strays = below(&[&stray], &[RecordType::A, RecordType::AAAA, RecordType::TXT]);
        let until = Instant::now() + TIME_MAX;
        let (records, open) = self.gather(&questions, until).await;
        let (wildcard, open_strays) = self.gather(&strays, until).await;
        Ok(Public { records, wildcard, asked: questions.len() + strays.len(), unanswered: open + open_strays })
    }

    async fn gather(&self, questions: &[(String, RecordType)], until: Instant) -> (Vec<ZoneRecord>, usize) {
        let answers = stream::iter(questions).map(|(name, kind)| async move {
            let asked = self.ask(name, *kind, |record| {
                // An alias and what was asked for under the very name; what an alias leads to belongs elsewhere.
                let owner = Owner::of_name(&record.name);
                let is_fit = [*kind, RecordType::CNAME].contains(&record.data.record_type());
                is_fit.then(|| ZoneRecord { owner, ttl: record.ttl, data: record.data.clone() })
            });
            let answer = timeout_at(until, asked).await.unwrap_or(Answer::Silent);
            let Ok(domain) = DomainName::parse(name) else { return (Vec::new(), 0) };
            let owner = Owner::of_domain(&domain);
            let own = answer.values().iter().filter(|record| record.owner == owner).cloned().collect::<Vec<_>>();
            (own, usize::from(answer.is_silent()))
        });
        let mut answers = answers.buffered(AT_ONCE);
        let (mut records, mut open) = (Vec::new(), 0);
        while let Some((found, silent)) = answers.next().await {
            records.extend(found);
            open += silent;
        }
        (records, open)
    }
}

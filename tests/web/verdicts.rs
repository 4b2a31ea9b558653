//! What the checks of a sender came to, on the page of a message.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use pulsemx::base::{SpoolId, WallTime};
use pulsemx::spool::SpoolError;
use pulsemx::verdict::{DkimFinding, DmarcFinding, Finding, SpfFinding, Subject, Verdict, VerdictStore};

use crate::fakes::{HOSTILE, OWNER};
use crate::site::Site;

/// Verdicts by message.
#[derive(Default)]
pub struct FakeVerdicts(pub Mutex<HashMap<SpoolId, Verdict>>);

#[async_trait]
impl VerdictStore for FakeVerdicts {
    async fn save_verdict(&self, _: SpoolId, _: Verdict, _: WallTime) -> Result<bool, SpoolError> {
        unreachable!("pages check nobody")
    }
    async fn verdict(&self, id: SpoolId) -> Result<Option<Verdict>, SpoolError> {
        Ok(self.0.lock().unwrap().get(&id).cloned())
    }
    async fn unchecked(&self, _: WallTime, _: u32) -> Result<Vec<Subject>, SpoolError> {
        unreachable!("pages check nobody")
    }
}

/// One that holds something of everything.
pub fn mixed() -> Verdict {
    Verdict {
        spf: SpfFinding { finding: Finding::SoftFail, domain: HOSTILE.to_owned() },
        dkim: vec![DkimFinding {
            finding: Finding::Pass,
            domain: "notar-beispiel.example".to_owned(),
            selector: "s1".to_owned(),
        }],
        dmarc: DmarcFinding {
            finding: Finding::Pass,
            domain: "notar-beispiel.example".to_owned(),
            ..DmarcFinding::default()
        },
        ..Verdict::default()
    }
}

#[tokio::test]
async fn a_message_says_whether_its_sender_is_genuine() {
    let site = Site::busy().await;
    let cookie = site.signed_in(OWNER);
    let id = site.spool.messages.lock().unwrap()[0].row.id;
    let path = format!("/a/firma/spool/{id}?lang=");
    let page = site.get(&format!("{path}en"), &cookie).await.body;
    assert!(page.contains("Is the sender genuine?") && page.contains("Not checked."), "{page}");
    site.verdicts.0.lock().unwrap().insert(id, mixed());
    let page = site.get(&format!("{path}en"), &cookie).await.body;
    for wanted in
        ["<b>SPF</b> probably not genuine", "<b>DKIM</b> passed", "<b>DMARC</b> passed", "<b>PTR</b> not there"]
    {
        assert!(page.contains(wanted), "{wanted} is not in {page}");
    }
    assert!(page.contains("<bdi>notar-beispiel.example</bdi>") && !page.contains("<script>alert(1)"));
    assert!(site.get(&format!("{path}de"), &cookie).await.body.contains("<b>DKIM</b> bestanden"));
}

//! Names that routers set: the mail server's once it greets, further ones while it is there; the backup MX switched off.

use std::time::Duration;

use hickory_proto::rr::RecordType::{A, MX};

use crate::ask::data;
use crate::support::{Primary, Server, ask, wait_for};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_router_moves_its_names() {
    let server = Server::start_with_names("");
    let primary = Primary::listen("127.0.31.31", 0);
    server.add_account("firma", primary.address.port());
    server.command(&["host", "add", "firma", "cam.firma.dyn.example"]);
    let token = server.command(&["token", "new", "firma"])["token"].as_str().unwrap().to_owned();
    let update = |query: &str| ask(server.web, &format!("/nic/update?{query}"), Some(("firma", &token)));
    assert_eq!(update("hostname=cam.firma.dyn.example&myip=127.0.31.32").1, "good 127.0.31.32\n");
    assert_eq!(data(server.names, "cam.firma.dyn.example.", A), [""; 0], "its server was never heard");
    assert_eq!(update("hostname=firma.dyn.example&myip=127.0.31.31").1, "good 127.0.31.31\n");
    let points = |name: &str, at: &str| (data(server.names, name, A) == [at]).then_some(());
    wait_for("the probe was greeted", LONG, || points("firma.dyn.example.", "127.0.31.31"));
    wait_for("the further name follows", LONG, || points("cam.firma.dyn.example.", "127.0.31.32"));
    update("hostname=cam.firma.dyn.example&myip=127.0.31.33");
    wait_for("it is moved", LONG, || points("cam.firma.dyn.example.", "127.0.31.33"));
    update("hostname=firma.dyn.example&myip=127.0.31.31&backmx=NO");
    wait_for("we are no backup MX", LONG, || {
        (data(server.names, "firma.dyn.example.", MX) == ["10 firma.dyn.example."]).then_some(())
    });
    server.command(&["host", "rm", "firma", "cam.firma.dyn.example"]);
    wait_for("the name is gone", LONG, || data(server.names, "cam.firma.dyn.example.", A).is_empty().then_some(()));
}

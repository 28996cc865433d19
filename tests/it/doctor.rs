//! `rocketmq doctor`: first-day problems are found and named with their fix.

use crate::harness::{Folder, Ports, Said, Server, run};

fn doctor(home: &Folder, args: &[&str]) -> Said {
    run(home.path(), &[&["doctor", "--output", "json"], args].concat())
}

fn findings(said: &Said) -> Vec<serde_json::Value> {
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Whether there is a finding of this rank, about this, that says this.
fn says(said: &Said, rank: &str, about: &str, found: &str) -> bool {
    findings(said).iter().any(|finding| {
        finding["rank"] == rank
            && finding["about"].as_str().is_some_and(|text| text.contains(about))
            && finding["found"].as_str().is_some_and(|text| text.contains(found))
    })
}

#[test]
fn a_cluster_that_works_is_called_fine_and_a_missing_topic_a_problem() {
    let home = Folder::new("doctor");
    let ports = Ports::free();
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    let server = Server::start(home.path(), &["dev", "--namesrv-port", &namesrv, "--broker-port", &broker]);
    let address = format!("127.0.0.1:{namesrv}");
    let said = doctor(&home, &["-n", &address, "-t", "TBW102"]);
    assert!(says(&said, "fine", "name server", "answers, knows broker-a"), "{said:?}");
    assert!(says(&said, "fine", "broker broker-a", &format!("answers at 127.0.0.1:{broker}")), "{said:?}");
    assert!(says(&said, "fine", "topic TBW102", "knows it on broker-a"), "{said:?}");
    let said = doctor(&home, &["-n", &address, "-t", "TBW103"]);
    assert_eq!(said.code, Some(1));
    assert!(says(&said, "problem", "topic TBW103", "Did you mean TBW102?"), "{said:?}");
    server.stop();
}

#[test]
fn a_name_server_that_is_not_there_and_one_without_brokers_are_problems() {
    let home = Folder::new("doctor-bad");
    let ports = Ports::free();
    let address = format!("127.0.0.1:{}", ports.namesrv);
    let said = doctor(&home, &["-n", &address]);
    assert!(said.code == Some(1) && says(&said, "problem", "name server", "cannot connect"), "{said:?}");
    let server = Server::start(home.path(), &["namesrv", "--listen", &address, "--data", "ns"]);
    let said = doctor(&home, &["-n", &address]);
    assert!(said.code == Some(1) && says(&said, "problem", "brokers", "No route info of this topic"), "{said:?}");
    server.stop();
}

#[test]
fn an_address_that_clients_cannot_reach_is_a_problem() {
    let home = Folder::new("doctor-address");
    let ports = Ports::free();
    let (namesrv, broker) = (ports.namesrv.to_string(), ports.broker.to_string());
    // A port of nobody stands for an address that is not reachable from here.
    let args = ["dev", "--namesrv-port", &namesrv, "--broker-port", &broker, "--advertise", "127.255.255.254"];
    let server = Server::spawn(home.path(), &args).announce("127.255.255.254");
    server.wait_for(" is ready");
    let said = doctor(&home, &["-n", &format!("127.0.0.1:{namesrv}")]);
    // Linux answers on all of 127/8, so the broker is reached; what it tells others is what is looked at.
    assert!(says(&said, "fine", "broker broker-a", "127.255.255.254"), "{said:?}");
    let said = doctor(&home, &["-n", &format!("localhost:{namesrv}")]);
    assert!(says(&said, "problem", "broker broker-a", "which is every client's own machine"), "{said:?}");
    server.stop();
}

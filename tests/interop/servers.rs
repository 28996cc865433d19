//! Mixed clusters: our name server with Java brokers, Java name servers with our broker.

use crate::cluster::{our_broker, our_namesrv};
use crate::peers::{Client, Folder, JavaServer, Talk, of_kind, route, text, wait_for_route};

/// Sends through the cluster behind `namesrv` and reads back with a push consumer.
fn messages_go_through(folder: &Folder, namesrv: &str) {
    let client = Client::Java("4.9.7");
    let common = [("namesrv", namesrv), ("group", "mixed_group"), ("topic", "mixed_topic")];
    let mut arguments = common.to_vec();
    arguments.extend([("sync", "8"), ("batch", "4"), ("big", "2")]);
    let heard = Talk::start(client, folder.path(), "send", &arguments).finish();
    let sent = of_kind(&heard, "sent");
    assert_eq!(sent.len(), 14);
    assert!(sent.iter().all(|event| text(event, "status") == "SEND_OK"), "{sent:?}");
    let mut consumer = Talk::start(client, folder.path(), "push", &common);
    consumer.until("14 messages", |heard| of_kind(heard, "message").len() >= 14);
    consumer.finish();
}

fn a_java_broker_registers_at_our_name_server_and_is_gone_after_its_end(version: &str) {
    let folder = Folder::new("our-namesrv");
    let (_namesrv, address) = our_namesrv(&folder);
    let mut broker =
        JavaServer::broker(version, folder.path(), "broker", &folder.path().join("store"), &address.to_string(), &[]);
    wait_for_route(address, "TBW102", &["broker-a"]);
    messages_go_through(&folder, &address.to_string());
    assert_eq!(route(address, "mixed_topic"), ["broker-a"]);
    broker.process.stop();
    wait_for_route(address, "mixed_topic", &[]);
}

fn our_broker_registers_at_a_java_name_server_and_is_gone_after_its_end(version: &str) {
    let folder = Folder::new("java-namesrv");
    let namesrv = JavaServer::namesrv(version, folder.path(), "namesrv");
    let (mut broker, _) = our_broker(&folder, &namesrv.address.to_string(), &folder.path().join("store"), &[]);
    wait_for_route(namesrv.address, "TBW102", &["broker-a"]);
    messages_go_through(&folder, &namesrv.address.to_string());
    assert_eq!(route(namesrv.address, "mixed_topic"), ["broker-a"]);
    broker.stops_well();
    wait_for_route(namesrv.address, "mixed_topic", &[]);
}

#[test]
fn a_java_4_9_7_broker_registers_at_our_name_server_and_is_gone_after_its_end() {
    a_java_broker_registers_at_our_name_server_and_is_gone_after_its_end("4.9.7");
}

#[test]
fn a_java_5_3_3_broker_registers_at_our_name_server_and_is_gone_after_its_end() {
    a_java_broker_registers_at_our_name_server_and_is_gone_after_its_end("5.3.3");
}

#[test]
fn our_broker_registers_at_a_java_4_9_7_name_server_and_is_gone_after_its_end() {
    our_broker_registers_at_a_java_name_server_and_is_gone_after_its_end("4.9.7");
}

#[test]
fn our_broker_registers_at_a_java_5_3_3_name_server_and_is_gone_after_its_end() {
    our_broker_registers_at_a_java_name_server_and_is_gone_after_its_end("5.3.3");
}

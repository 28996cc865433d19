//! Which address clients are told: every candidate of this machine with a verdict, and one choice with its reason.
//! A broker that advertises an address its clients cannot reach is the commonest first-day failure, so nothing here
//! is silent. Pure but for `candidates`, which asks the machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the network interface.
    pub interface: String,
    /// Its address.
    pub address: IpAddr,
    /// Why clients should not be told it; `None`: it is usable.
    pub skipped: Option<&'static str>,
}

/// The address that is advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// What clients and name servers are told.
    pub address: IpAddr,
    /// Why this one, for the start report.
    pub reason: String,
    /// What an operator should look at, if anything.
    pub warning: Option<String>,
}

/// Interface names of bridges and virtual cards that other machines do not reach, and what they belong to.
const VIRTUAL: &[(&str, &str)] = &[
    ("docker", "a Docker bridge"),
    ("br-", "a Docker bridge"),
    ("veth", "a container's virtual cable"),
    ("virbr", "a libvirt bridge"),
    ("vmnet", "a VMware network"),
    ("vboxnet", "a VirtualBox network"),
    ("lxcbr", "an LXC bridge"),
    ("lxdbr", "an LXD bridge"),
    ("cni", "a Kubernetes bridge"),
    ("flannel", "a Kubernetes overlay"),
    ("cali", "a Kubernetes overlay"),
    ("podman", "a Podman bridge"),
    ("tun", "a tunnel"),
    ("tap", "a tunnel"),
    ("utun", "a tunnel"),
];

/// All addresses of this machine, in the system's order.
pub fn candidates() -> std::io::Result<Vec<Candidate>> {
    Ok(if_addrs::get_if_addrs()?
        .into_iter()
        .map(|card| {
            let address = card.ip();
            let skipped = verdict(&card.name, address, card.is_oper_up());
            Candidate { skipped, interface: card.name, address }
        })
        .collect())
}

fn verdict(interface: &str, address: IpAddr, up: bool) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("loopback");
    }
    if let Some((_, what)) = VIRTUAL.iter().find(|(prefix, _)| interface.starts_with(prefix)) {
        return Some(what);
    }
    if Path::new("/sys/class/net").join(interface).join("bridge").exists() {
        return Some("a bridge");
    }
    if !up {
        return Some("the interface is down");
    }
    match address {
        IpAddr::V4(address) if address.is_link_local() => Some("link-local"),
        IpAddr::V4(address) if address.is_unspecified() => Some("no address"),
        IpAddr::V6(_) => Some("IPv6, which message ids and clients before 5.0 have no room for"),
        IpAddr::V4(_) => None,
    }
}

/// Chooses. `asked` is what the operator gave and where (`--advertise`, `brokerIP1`): it wins over everything. `bound`
/// is the address that the broker listens on, when that is a single one.
pub fn choose(asked: Option<(IpAddr, &str)>, bound: IpAddr, candidates: &[Candidate]) -> Advertised {
    if let Some((address, origin)) = asked {
        let ours = bound == address || candidates.iter().any(|candidate| candidate.address == address);
        let warning = (!ours).then(|| {
            format!(
                "{address} is no address of this machine; that is right only behind address translation or port mapping"
            )
        });
        return Advertised { address, reason: format!("given by {origin}"), warning };
    }
    if !bound.is_unspecified() {
        let reason = "the only address that the broker listens on".to_owned();
        return Advertised { address: bound, reason, warning: None };
    }
    let usable: Vec<_> = candidates.iter().filter(|candidate| candidate.skipped.is_none()).collect();
    let Some(first) = usable.first() else {
        return Advertised {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            reason: "this machine has no other usable address".to_owned(),
            warning: Some(
                "only clients on this machine can use 127.0.0.1; give the address that others reach".to_owned(),
            ),
        };
    };
    let reason = format!("address of {}, {}", first.interface, position(usable.len()));
    let others: Vec<_> = usable[1..].iter().map(|other| format!("{} ({})", other.address, other.interface)).collect();
    let warning = (!others.is_empty()).then(|| format!("clients might need another one: {}", others.join(", ")));
    Advertised { address: first.address, reason, warning }
}

/// Chooses for a machine on which everything is tried out: 127.0.0.1 always serves the clients of this machine, whatever
/// network it is in, and also through the mapped ports of a container.
pub fn choose_for_development(asked: Option<IpAddr>, candidates: &[Candidate]) -> Advertised {
    if let Some(address) = asked {
        return choose(Some((address, "--advertise")), ANY, candidates);
    }
    let others: Vec<_> =
        candidates.iter().filter(|card| card.skipped.is_none()).map(|card| card.address.to_string()).collect();
    let elsewhere = match others.as_slice() {
        [] => "for clients elsewhere give --advertise IP".to_owned(),
        some => format!("for clients elsewhere give --advertise IP, here perhaps {}", some.join(" or ")),
    };
    let reason = format!("serves clients on this machine; {elsewhere}");
    Advertised { address: IpAddr::V4(Ipv4Addr::LOCALHOST), reason, warning: None }
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn position(usable: usize) -> &'static str {
    if usable == 1 { "the only usable one" } else { "the first usable one" }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.interface, self.address)?;
        self.skipped.map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn candidate(interface: &str, address: &str) -> Candidate {
        Candidate { interface: interface.into(), address: ip(address), skipped: verdict(interface, ip(address), true) }
    }

    #[test]
    fn loopback_bridges_tunnels_and_dead_cards_are_skipped_with_their_reason() {
        for (interface, address, why) in [
            ("lo", "127.0.0.1", "loopback"),
            ("docker0", "172.17.0.1", "a Docker bridge"),
            ("br-0a1b2c", "172.18.0.1", "a Docker bridge"),
            ("veth12ab", "172.17.0.9", "a container's virtual cable"),
            ("virbr0", "192.168.122.1", "a libvirt bridge"),
            ("eth0", "169.254.3.4", "link-local"),
        ] {
            assert_eq!(verdict(interface, ip(address), true), Some(why), "{interface} {address}");
        }
        assert_eq!(verdict("eth7", ip("10.0.0.5"), false), Some("the interface is down"));
        assert_eq!(verdict("eth7", ip("10.0.0.5"), true), None);
        assert!(verdict("eth7", ip("fd00::2"), true).is_some_and(|why| why.starts_with("IPv6")));
    }

    #[test]
    fn what_the_operator_gave_wins_over_everything() {
        let cards = [candidate("eth0", "10.0.0.5")];
        let chosen = choose(Some((ip("203.0.113.7"), "--advertise")), ip("10.0.0.5"), &cards);
        assert_eq!((chosen.address, chosen.reason.as_str()), (ip("203.0.113.7"), "given by --advertise"));
        assert!(chosen.warning.is_some_and(|text| text.contains("no address of this machine")));
        assert_eq!(choose(Some((ip("10.0.0.5"), "brokerIP1")), ip("0.0.0.0"), &cards).warning, None);
    }

    #[test]
    fn the_first_usable_card_is_chosen_and_the_others_are_named() {
        let cards = [
            candidate("lo", "127.0.0.1"),
            candidate("docker0", "172.17.0.1"),
            candidate("eth0", "10.0.0.5"),
            candidate("eth1", "192.168.1.5"),
        ];
        let chosen = choose(None, ip("0.0.0.0"), &cards);
        assert_eq!(chosen.address, ip("10.0.0.5"));
        assert!(chosen.warning.is_some_and(|text| text.contains("192.168.1.5 (eth1)")));
        assert_eq!(choose(None, ip("0.0.0.0"), &cards[..3]).warning, None);
    }

    #[test]
    fn development_serves_this_machine_and_says_how_to_serve_others() {
        let cards = [candidate("lo", "127.0.0.1"), candidate("eth0", "10.0.0.5")];
        let chosen = choose_for_development(None, &cards);
        assert_eq!(chosen.address, ip("127.0.0.1"));
        assert!(chosen.reason.contains("--advertise IP, here perhaps 10.0.0.5"), "{}", chosen.reason);
        assert_eq!(choose_for_development(Some(ip("10.0.0.5")), &cards).reason, "given by --advertise");
    }

    #[test]
    fn a_single_listening_address_is_advertised_and_a_machine_without_any_says_so() {
        let chosen = choose(None, ip("127.0.0.1"), &[candidate("eth0", "10.0.0.5")]);
        assert_eq!((chosen.address, chosen.warning), (ip("127.0.0.1"), None));
        let alone = choose(None, ip("0.0.0.0"), &[candidate("lo", "127.0.0.1")]);
        assert_eq!(alone.address, ip("127.0.0.1"));
        assert!(alone.warning.is_some());
    }
}

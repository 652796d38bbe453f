//! Whom operators keep out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cah_protocol::check_nickname;
use ipnet::IpNet;

use crate::{
    machine::machine_of,
    store::{Excluded, Store, StoreError},
};

/// Reads whom an operator names: a nickname or a network, `None` where neither is named.
///
/// # Errors
/// What is wrong with it, in words for the operator.
pub fn parse_excluded(
    nickname: Option<&str>,
    network: Option<&str>,
) -> Result<Option<Excluded>, String> {
    match (nickname, network) {
        (Some(nickname), None) => parse_nickname(nickname).map(Some),
        (None, Some(network)) => parse_network(network).map(Excluded::Network).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("name a nickname or a network, not both".into()),
    }
}

fn parse_nickname(text: &str) -> Result<Excluded, String> {
    check_nickname(text).map_err(|rejected| rejected.to_string())?;
    match text.trim() {
        "" => Err("the nickname is empty".into()),
        nickname => Ok(Excluded::Nickname(nickname.to_owned())),
    }
}

/// Reads a network, such as `192.0.2.0/24`, or a single address.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = text.parse::<IpAddr>();
    let address = address.map(|address| IpNet::from(address.to_canonical()));
    let network = address.or_else(|_| text.parse::<IpNet>());
    match network {
        Ok(network) if network.prefix_len() == 0 => Err(format!("`{text}` is everybody")),
        Ok(network) => Ok(network.trunc()),
        Err(_) => Err(format!(
            "`{text}` is no network; write it like 192.0.2.0/24 or 2001:db8::/32"
        )),
    }
}

/// Refuses to keep out the machine of the tracker itself, or a proxy through which others call.
///
/// # Errors
/// [`StoreError::Conflict`], with the address that is meant too.
pub fn check_excluded(whom: &Excluded, proxies: &[IpNet]) -> Result<(), StoreError> {
    let Excluded::Network(network) = whom else {
        return Ok(());
    };
    let loopback = [
        IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 8).trunc(),
        IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)),
    ];
    let overlaps = |other: &&IpNet| network.contains(*other) || other.contains(network);
    let refuse = |why: String| Err(StoreError::Conflict(why));
    if loopback.iter().any(|own| overlaps(&own)) {
        return refuse(format!("{network} is the tracker's own machine"));
    }
    match proxies.iter().find(overlaps) {
        Some(proxy) => refuse(format!(
            "{network} has to do with the trusted proxy {proxy}, through which others call"
        )),
        None => Ok(()),
    }
}

/// The network of a connected worker's machine.
///
/// # Errors
/// [`StoreError::Conflict`] where no such worker is connected.
pub async fn network_of(store: &dyn Store, display_name: &str) -> Result<IpNet, StoreError> {
    let address = store.address_of(display_name.to_owned()).await?;
    let address = address.ok_or_else(|| {
        StoreError::Conflict(format!("no worker called `{display_name}` is connected"))
    })?;
    Ok(machine_of(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_people_write_them() {
        let read = |text: &str| parse_network(text).map(|network| network.to_string());
        assert_eq!(read("192.0.2.7").as_deref(), Ok("192.0.2.7/32"));
        assert_eq!(read(" 192.0.2.7/24 ").as_deref(), Ok("192.0.2.0/24"));
        assert_eq!(read("2001:db8::1/32").as_deref(), Ok("2001:db8::/32"));
        for (wrong, part) in [
            ("", "no network"),
            ("host", "no network"),
            ("0.0.0.0/0", "everybody"),
        ] {
            assert!(read(wrong).unwrap_err().contains(part), "{wrong}");
        }
    }

    #[test]
    fn one_is_named_and_it_is_somebody() {
        let named = |nickname, network| parse_excluded(nickname, network);
        let ada = Excluded::Nickname("Ada".into());
        assert_eq!(named(Some(" Ada "), None), Ok(Some(ada)));
        assert_eq!(named(None, None), Ok(None));
        assert!(named(Some("Ada"), Some("192.0.2.7")).is_err());
        assert!(named(Some(" "), None).unwrap_err().contains("empty"));
        assert!(named(Some(&"a".repeat(1_000)), None).is_err());
    }

    #[test]
    fn nobody_locks_the_tracker_itself_out() {
        let proxies = ["10.0.0.0/24".parse().unwrap()];
        let check = |network: &str| {
            let whom = Excluded::Network(parse_network(network).unwrap());
            check_excluded(&whom, &proxies).map_err(|error| error.to_string())
        };
        assert_eq!(check("192.0.2.7"), Ok(()));
        assert_eq!(check("10.0.1.0/24"), Ok(()));
        for own in ["127.0.0.1", "126.0.0.0/7", "::1", "::/1"] {
            assert!(check(own).unwrap_err().contains("own machine"), "{own}");
        }
        for proxy in ["10.0.0.7", "10.0.0.0/8"] {
            assert!(check(proxy).unwrap_err().contains("10.0.0.0/24"), "{proxy}");
        }
    }
}

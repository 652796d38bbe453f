//! Whom operators keep out.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::store::{Store, StoreError};

/// Reads a network, such as `192.0.2.0/24`, or a single address.
///
/// # Errors
/// What is wrong with it.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>());
    match network {
        Ok(network) if network.prefix_len() == 0 => Err(format!("`{text}` is everybody")),
        Ok(network) => Ok(network.trunc()),
        Err(_) => Err(format!(
            "`{text}` is no network; write it like 192.0.2.0/24 or 2001:db8::/32"
        )),
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

/// What counts as one machine: an address, or of IPv6 the /64 that a machine has for itself.
pub(crate) fn machine_of(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(_) => IpNet::from(address),
        IpAddr::V6(_) => IpNet::new_assert(address, 64).trunc(),
    }
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
}

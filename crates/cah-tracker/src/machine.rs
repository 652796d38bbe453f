//! What counts as one machine.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network that stands for the machine behind an address: the address alone, or of IPv6 the
/// /64 that a machine has for itself.
pub(crate) fn machine_of(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(_) => IpNet::from(address),
        IpAddr::V6(_) => IpNet::new_assert(address, 64).trunc(),
    }
}

/// The machine that somebody calls from, unless it is the tracker's own: its operator may do there
/// what nobody may do from elsewhere.
pub(crate) fn foreign_machine_of(address: IpAddr) -> Option<IpNet> {
    (!address.is_loopback()).then(|| machine_of(address))
}

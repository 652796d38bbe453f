//! Which addresses are on the public Internet.
//!
//! After the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates). IPv6
//! is an allow list: outside 2000::/3 nothing is assigned to the public. Addresses that carry an
//! IPv4 address are as public as the one that they carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(
        Ipv6Addr::new(head[0], head[1], head[2], 0, 0, 0, 0, 0),
        prefix,
    )
}

const NOT_PUBLIC_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // this network
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, clouds' metadata
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // 6to4 relays, withdrawn
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, broadcast
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0], 3);

const NOT_PUBLIC_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0], 23),     // protocol assignments: Teredo, ORCHID, benchmarks
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x3fff, 0, 0], 20),     // documentation
];

/// Whether an address is on the public Internet: not private, loopback, link-local, shared,
/// multicast, reserved or for documentation, also when IPv6 only wraps such an address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    GLOBAL_UNICAST.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
}

/// The IPv4 address inside an IPv4-mapped, a NAT64 (RFC 6052) or a 6to4 (RFC 3056) address.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(g, h)),
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}

/// Which addresses one fetcher may reach.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    everything: bool,
    allowed: Vec<IpNet>,
}

impl Filter {
    pub(crate) fn new(everything: bool, allowed: Vec<IpNet>) -> Self {
        Self {
            everything,
            allowed,
        }
    }

    pub(crate) fn permits(&self, address: IpAddr) -> bool {
        self.everything
            || is_public(address)
            || self.allowed.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::zero("0.0.0.0")]
    #[case::this_network("0.1.2.3")]
    #[case::private_a("10.0.0.1")]
    #[case::shared_first("100.64.0.0")]
    #[case::shared_last("100.127.255.255")]
    #[case::loopback("127.0.0.1")]
    #[case::loopback_far("127.255.255.254")]
    #[case::metadata("169.254.169.254")]
    #[case::private_b_first("172.16.0.0")]
    #[case::private_b_last("172.31.255.255")]
    #[case::assignments("192.0.0.8")]
    #[case::documentation("192.0.2.1")]
    #[case::relays("192.88.99.1")]
    #[case::private_c("192.168.1.1")]
    #[case::benchmarks("198.19.255.255")]
    #[case::documentation_2("198.51.100.1")]
    #[case::documentation_3("203.0.113.1")]
    #[case::multicast("224.0.0.1")]
    #[case::reserved("240.0.0.1")]
    #[case::broadcast("255.255.255.255")]
    #[case::unspecified6("::")]
    #[case::loopback6("::1")]
    #[case::compatible("::8.8.8.8")]
    #[case::mapped("::ffff:10.0.0.1")]
    #[case::nat64("64:ff9b::7f00:1")]
    #[case::nat64_local("64:ff9b:1::8.8.8.8")]
    #[case::sixtofour("2002:a00:1::1")]
    #[case::discard("100::1")]
    #[case::teredo("2001:0:4136:e378:8000:63bf:3fff:fdd2")]
    #[case::benchmarks6("2001:2::1")]
    #[case::orchid("2001:20::1")]
    #[case::documentation6("2001:db8::1")]
    #[case::documentation6_long("3fff::1")]
    #[case::segment_routing("5f00::1")]
    #[case::unique_local("fd00:ec2::254")]
    #[case::link_local6("fe80::1")]
    #[case::site_local("fec0::1")]
    #[case::multicast6("ff02::1")]
    fn not_public(#[case] address: IpAddr) {
        assert!(!is_public(address));
    }

    #[rstest]
    #[case("1.1.1.1")]
    #[case("8.8.8.8")]
    #[case("9.255.255.255")]
    #[case("11.0.0.0")]
    #[case("100.63.255.255")]
    #[case("100.128.0.0")]
    #[case("126.255.255.255")]
    #[case("128.0.0.0")]
    #[case("172.15.255.255")]
    #[case("172.32.0.0")]
    #[case("192.167.255.255")]
    #[case("223.255.255.255")]
    #[case("2606:4700::1111")]
    #[case("2001:4860:4860::8888")]
    #[case("::ffff:8.8.8.8")]
    #[case("64:ff9b::808:808")]
    #[case("2002:808:808::1")]
    fn public(#[case] address: IpAddr) {
        assert!(is_public(address));
    }

    #[test]
    fn a_network_can_be_allowed_and_nothing_beside_it() {
        let filter = Filter::new(false, vec!["127.0.0.1/32".parse().unwrap()]);
        assert!(filter.permits([127, 0, 0, 1].into()));
        assert!(!filter.permits([127, 0, 0, 2].into()));
        assert!(filter.permits([8, 8, 8, 8].into()));
        assert!(Filter::new(true, vec![]).permits([127, 0, 0, 2].into()));
    }

    proptest! {
        #[test]
        fn what_wraps_an_address_is_as_public_as_it(bits: u32, rest: [u16; 5]) {
            let inner = Ipv4Addr::from(bits);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            let expected = is_public(inner.into());
            let [c, d, e, f, g] = rest;
            for wrapped in [
                inner.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, c, d, e, f, g),
            ] {
                prop_assert_eq!(is_public(wrapped.into()), expected, "{}", wrapped);
            }
        }

        #[test]
        fn what_the_standard_library_calls_special_is_refused(bits: u32) {
            let a = Ipv4Addr::from(bits);
            if a.is_private() || a.is_loopback() || a.is_link_local() || a.is_multicast()
                || a.is_broadcast() || a.is_documentation() || a.is_unspecified()
            {
                prop_assert!(!is_public(a.into()));
            }
        }

        #[test]
        fn nothing_outside_global_unicast_is_public(bits: u128) {
            let address = Ipv6Addr::from(bits);
            let outside = address.segments()[0] >> 13 != 1;
            if outside && carried(address).is_none() {
                prop_assert!(!is_public(address.into()), "{}", address);
            }
        }
    }
}

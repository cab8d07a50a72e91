//! Which addresses are not on the public internet: one documented table over the IANA special-purpose registries
//! (IPv4 and IPv6, RFC 6890 and its updates), read for every address before a plugin's connection goes to it. No
//! grants and no sockets here: `grants` decides whether a class may be reached, `http::connector` asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range that is not public: its addresses need the `private_network` grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The range.
    pub net: IpNet,
    /// What it is for, in a few words: `loopback`, `private network`, …
    pub name: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

/// The reserved range that `address` lies in; none for a public one. An IPv4 address inside an IPv6 one (mapped, or
/// NAT64) is judged as itself, because that is where a connection ends.
pub fn reserved(address: IpAddr) -> Option<&'static Reserved> {
    match address.to_canonical() {
        IpAddr::V4(v4) => reserved_v4(v4),
        IpAddr::V6(v6) => reserved_v6(v6),
    }
}

fn reserved_v4(address: Ipv4Addr) -> Option<&'static Reserved> {
    V4.iter().find(|range| range.net.contains(&IpAddr::V4(address)))
}

fn reserved_v6(address: Ipv6Addr) -> Option<&'static Reserved> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return reserved_v4(Ipv4Addr::new(a, b, c, d));
    }
    if let Some(range) = V6.iter().find(|range| range.net.contains(&IpAddr::V6(address))) {
        return Some(range);
    }
    // Everything public lies in 2000::/3; what is allocated elsewhere one day must first be read about here.
    (!GLOBAL_UNICAST.contains(&address)).then_some(&NOT_GLOBAL)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, name: &'static str, source: &'static str) -> Reserved {
    Reserved { net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)), name, source }
}

const fn v6(segments: [u16; 8], prefix: u8, name: &'static str, source: &'static str) -> Reserved {
    Reserved { net: IpNet::V6(v6_net(segments, prefix)), name, source }
}

const fn v6_net(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

/// The well-known prefix (RFC 6052): the last four bytes are the IPv4 address that a translator connects to.
const NAT64: Ipv6Net = v6_net([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const GLOBAL_UNICAST: Ipv6Net = v6_net([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const NOT_GLOBAL: Reserved = v6([0; 8], 0, "outside global unicast", "RFC 4291");

/// Ranges of IPv4. 192.0.0.0/24 is refused whole, with the two anycast addresses in it that are public.
static V4: [Reserved; 17] = [
    v4(0, 0, 0, 0, 8, "this network", "RFC 791"),
    v4(10, 0, 0, 0, 8, "private network", "RFC 1918"),
    v4(100, 64, 0, 0, 10, "shared address space of carriers", "RFC 6598"),
    v4(127, 0, 0, 0, 8, "loopback", "RFC 1122"),
    v4(168, 63, 129, 16, 32, "platform address of a cloud", "Azure wire server"),
    v4(169, 254, 0, 0, 16, "link-local", "RFC 3927"),
    v4(172, 16, 0, 0, 12, "private network", "RFC 1918"),
    v4(192, 0, 0, 0, 24, "protocol assignments", "RFC 6890"),
    v4(192, 0, 2, 0, 24, "documentation", "RFC 5737"),
    v4(192, 88, 99, 0, 24, "6to4 relay", "RFC 7526"),
    v4(192, 168, 0, 0, 16, "private network", "RFC 1918"),
    v4(198, 18, 0, 0, 15, "benchmarking", "RFC 2544"),
    v4(198, 51, 100, 0, 24, "documentation", "RFC 5737"),
    v4(203, 0, 113, 0, 24, "documentation", "RFC 5737"),
    v4(224, 0, 0, 0, 4, "multicast", "RFC 5771"),
    v4(255, 255, 255, 255, 32, "broadcast", "RFC 919"),
    v4(240, 0, 0, 0, 4, "reserved", "RFC 1112"),
];

/// Ranges of IPv6, narrower ones before those they lie in. Tunnels that carry an IPv4 address (6to4, Teredo) are
/// refused whole: both are retired, and the inner address may be any.
static V6: [Reserved; 17] = [
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible", "RFC 4291"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated", "RFC 7915"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local NAT64", "RFC 8215"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only", "RFC 6666"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo", "RFC 4380"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking", "RFC 5180"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments", "RFC 2928"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", "RFC 3849"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC 3056"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", "RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing", "RFC 9602"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local", "RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local", "RFC 4291"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local", "RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "RFC 4291"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Option<&'static str> {
        reserved(text.parse().unwrap()).map(|range| range.name)
    }

    #[test]
    fn every_range_is_refused_from_its_first_to_its_last_address() {
        for range in V4.iter().chain(&V6) {
            for address in [range.net.network(), range.net.broadcast()] {
                assert!(reserved(address).is_some(), "{address} of {} ({})", range.net, range.name);
            }
        }
    }

    #[test]
    fn addresses_have_the_class_of_their_range() {
        let table = [
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("0.0.0.0", "this network"),
            ("10.1.2.3", "private network"),
            ("172.31.255.255", "private network"),
            ("192.168.0.1", "private network"),
            ("100.64.0.1", "shared address space of carriers"),
            ("100.127.255.255", "shared address space of carriers"),
            ("169.254.169.254", "link-local"),
            ("168.63.129.16", "platform address of a cloud"),
            ("192.0.0.192", "protocol assignments"),
            ("192.0.2.7", "documentation"),
            ("198.19.255.255", "benchmarking"),
            ("239.1.1.1", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::1", "loopback"),
            ("::", "unspecified"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.0.0.1", "private network"),
            ("::127.0.0.1", "IPv4-compatible"),
            ("::ffff:0:127.0.0.1", "IPv4-translated"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("64:ff9b:1::1", "local NAT64"),
            ("2002:7f00:1::", "6to4"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
            ("2001:db8::1", "documentation"),
            ("2001:20::1", "protocol assignments"),
            ("fc00::1", "unique local"),
            ("fd00:ec2::254", "unique local"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("100::1", "discard-only"),
            ("4000::1", "outside global unicast"),
        ];
        for (address, expected) in table {
            assert_eq!(class(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn neighbours_of_the_ranges_are_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
            "2001:200::1",
            "2600::1",
            "2a00:1450:4001::1",
        ] {
            assert_eq!(class(address), None, "{address}");
        }
    }
}

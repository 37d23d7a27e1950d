//! Numbers and endpoints as text, for what is printed with every request: `fmt` would cost more than all else there.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Digits of the largest number.
const MAX_DIGITS: usize = 20;

/// Appends `number` in decimal.
pub(super) fn push(number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; MAX_DIGITS];
    let (mut rest, mut len) = (number, 0_usize);
    for digit in digits.iter_mut().rev() {
        // Below 10.
        *digit = b'0' | (rest % 10) as u8;
        (rest, len) = (rest / 10, len.saturating_add(1));
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(MAX_DIGITS.saturating_sub(len)..).unwrap_or_default());
}

/// Appends the last `N` digits of `number`, with zeros before it.
pub(super) fn push_padded<const N: usize>(number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; N];
    let mut rest = number;
    let (first, pairs) = digits.as_rchunks_mut();
    for pair in pairs.iter_mut().rev() {
        *pair = PAIRS.get((rest % 100) as usize).copied().unwrap_or_default();
        rest /= 100;
    }
    if let [first] = first {
        // Below 10.
        *first = b'0' | (rest % 10) as u8;
    }
    out.extend_from_slice(&digits);
}

/// The digits of the numbers below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let (mut rest, mut number) = (pairs.as_mut_slice(), 0_u8);
    while let Some((pair, behind)) = rest.split_first_mut() {
        *pair = [b'0' + number / 10, b'0' + number % 10];
        (rest, number) = (behind, number + 1);
    }
    pairs
};

/// Appends `number` in hexadecimal.
pub(super) fn push_hex(number: u64, out: &mut Vec<u8>) {
    let len = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for position in (0..len).rev() {
        let digit = (number >> (4 * position)) as u8 & 15;
        out.push(if digit < 10 { b'0' | digit } else { b'a' - 10 + digit });
    }
}

/// Appends an address, as it is displayed.
pub(super) fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => push_ipv4(address, out),
        // Writing to a `Vec` cannot fail.
        IpAddr::V6(address) => _ = write!(out, "{address}"),
    }
}

/// Appends an address and port, as they are displayed.
pub(super) fn push_endpoint(endpoint: SocketAddr, out: &mut Vec<u8>) {
    match endpoint {
        SocketAddr::V4(endpoint) => {
            push_ipv4(*endpoint.ip(), out);
            out.push(b':');
            push(endpoint.port().into(), out);
        }
        // Writing to a `Vec` cannot fail.
        SocketAddr::V6(endpoint) => _ = write!(out, "{endpoint}"),
    }
}

fn push_ipv4(address: Ipv4Addr, out: &mut Vec<u8>) {
    for (number, octet) in address.octets().into_iter().enumerate() {
        if number > 0 {
            out.push(b'.');
        }
        if octet >= 100 {
            out.push(b'0' | (octet / 100));
        }
        if octet >= 10 {
            out.push(b'0' | (octet / 10 % 10));
        }
        out.push(b'0' | (octet % 10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_fmt_writes_them() {
        for number in [0, 1, 9, 10, 15, 16, 99, 100, 255, 256, 123_456_789, u64::MAX] {
            let mut out = Vec::new();
            push(number, &mut out);
            out.push(b' ');
            push_hex(number, &mut out);
            out.push(b' ');
            push_padded::<9>(number, &mut out);
            let padded = number % 1_000_000_000;
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number} {number:x} {padded:09}"));
        }
    }

    #[test]
    fn endpoints_are_written_as_fmt_writes_them() {
        let texts = [
            "0.0.0.0:0",
            "10.9.0.254:80",
            "255.255.255.255:65535",
            "1.99.100.199:9",
            "[2001:db8::7]:443",
            "[::]:1",
        ];
        for text in texts {
            let endpoint: SocketAddr = text.parse().unwrap();
            let (mut out, mut address) = (Vec::new(), Vec::new());
            push_endpoint(endpoint, &mut out);
            push_address(endpoint.ip(), &mut address);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(String::from_utf8(address).unwrap(), endpoint.ip().to_string());
        }
    }
}

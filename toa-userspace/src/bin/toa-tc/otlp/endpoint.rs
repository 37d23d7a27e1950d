//! The address of a receiver.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use ureq::http::{Uri, uri::Scheme};

/// The path of logs below the address.
const PATH: &str = "/v1/logs";

/// Where to send to, by HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// The name or address of the host. An IPv6 address is in brackets.
    host: String,
    port: u16,
    /// The path of logs.
    path: String,
}

impl Endpoint {
    /// Returns the addresses of the host.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<_> = (host, self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() { Err(ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }

    /// Returns the port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the host and port as a request names them.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Returns the URL with one of the host's addresses.
    pub(super) fn at(&self, address: SocketAddr) -> String {
        format!("http://{address}{}", self.path)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "not a URL such as http://127.0.0.1:4318";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return Err("there is no TLS: send to a collector on this host, which has it");
        }
        let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP)).ok_or(wrong)?;
        let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(80));
        // It has no user, and a port that is one.
        let is_whole = authority.as_str() == host || *authority == format!("{host}:{port}").as_str();
        if host.is_empty() || !is_whole || port == 0 || uri.query().is_some() {
            return Err(wrong);
        }
        Ok(Self { host, port, path: format!("{}{PATH}", uri.path().trim_end_matches('/')) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_receiver_is_read() {
        for (url, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"),
            ("http://localhost", "http://localhost:80/v1/logs"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/logs"),
            ("http://collector.example:4318/otlp/", "http://collector.example:4318/otlp/v1/logs"),
        ] {
            assert_eq!(url.parse::<Endpoint>().unwrap().to_string(), shown);
        }
        let wrong = [
            "",
            "127.0.0.1:4318",
            "http://",
            "http://:4318",
            "http://a:b",
            "http://a:0",
            "http://a@b",
            "http://a/?b",
            "http://a b",
        ];
        for url in wrong {
            assert!(url.parse::<Endpoint>().unwrap_err().starts_with("not a URL"), "{url}");
        }
        assert!("https://a".parse::<Endpoint>().unwrap_err().starts_with("there is no TLS"));
    }

    #[test]
    fn a_host_has_addresses() {
        let endpoint: Endpoint = "http://[::1]:4318/otlp".parse().unwrap();
        let addresses = endpoint.addresses().unwrap();
        assert_eq!(addresses, ["[::1]:4318".parse().unwrap()]);
        assert_eq!(endpoint.at(addresses[0]), "http://[::1]:4318/otlp/v1/logs");
        assert_eq!((endpoint.authority(), endpoint.port()), ("[::1]:4318".to_owned(), 4318));
    }
}

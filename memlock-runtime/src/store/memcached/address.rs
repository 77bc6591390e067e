//! One entry of the server list: how it is spelled, its id, and where the server listens. Parsing only: a name is
//! looked up when a connection is opened.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use crate::text::shown::Shown;

/// memcached's default port.
const DEFAULT_PORT: u16 = 11211;

/// The longest path that fits a socket address on every Unix (104 bytes on BSD and macOS, with the final NUL).
const LONGEST_SOCKET_PATH: usize = 103;

/// The address of one memcached server, as an entry of the list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    spelled: Box<str>,
    id: Box<str>,
    endpoint: Endpoint,
}

/// Where a server listens. TLS will be one more variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// An IP address and a port.
    Address(SocketAddr),
    /// A name to look up, in lower case, or an IPv6 address with a zone, and a port. The system resolves both: in each
    /// run of it an interface may have another number.
    Name { host: Box<str>, port: u16 },
    /// The path of a local socket.
    Local(PathBuf),
}

impl ServerAddress {
    /// Parses `host`, `host:port`, `1.2.3.4:port`, `[::1]:port`, `[fe80::1%eth0]:port` or `unix:/path`. The default port
    /// is 11211.
    ///
    /// # Errors
    ///
    /// The message names the entry and says what is wrong with it and what to do. It starts in lower case.
    pub fn parse(text: &str) -> Result<ServerAddress, String> {
        let spelled = text.trim();
        let endpoint = parse_endpoint(spelled)?;
        let id = match &endpoint {
            // The standard notation has one spelling for each address, with brackets around IPv6.
            Endpoint::Address(address) => address.to_string(),
            // With a zone. Its name may differ from machine to machine, and then so does the id.
            Endpoint::Name { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Name { host, port } => format!("{host}:{port}"),
            Endpoint::Local(path) => format!("unix:{}", path.display()),
        };
        Ok(ServerAddress {
            spelled: spelled.into(),
            id: id.into(),
            endpoint,
        })
    }

    /// The id of the server. It is the same for every spelling of one entry (case, default port, notation of an IPv6
    /// address). Items are routed by it, so it does not depend on the machine that asks.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The entry as its user spelled it.
    pub fn as_str(&self) -> &str {
        &self.spelled
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

fn parse_endpoint(entry: &str) -> Result<Endpoint, String> {
    if entry.is_empty() {
        return Err("empty server entry: write `host:port`, or remove the comma".to_owned());
    }
    let lower = entry.to_ascii_lowercase();
    let shown = Shown::new(entry);
    if lower.starts_with("unix:") {
        return parse_local(entry, entry.get("unix:".len()..).unwrap_or_default());
    }
    if lower.starts_with("memory:") {
        return Err(format!(
            "server `{shown}`: the in-process store cannot be one of several servers: `memory:` must stand alone"
        ));
    }
    if let Some((ip, zone, port)) = zoned(entry) {
        return zoned_endpoint(entry, ip, zone, port);
    }
    if let Some(host) = host_after_credentials(entry) {
        return Err(credentials_error(host));
    }
    if entry.contains("://") {
        let shown = Shown::new(redacted(entry));
        return Err(if lower.starts_with("memcache+tls:") {
            format!(
                "server `{shown}`: TLS comes in a later version of memlock: write `host:port` and keep the connection \
                 in a trusted network or a tunnel"
            )
        } else {
            format!("server `{shown}`: unknown scheme: write `host:port` or `unix:/path`")
        });
    }
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Ok(address(ip, DEFAULT_PORT));
    }
    if let Some(inside) = entry.strip_prefix('[') {
        let (ip, rest) = inside
            .split_once(']')
            .ok_or_else(|| format!("server `{shown}`: the bracket is not closed: write `[::1]:11211`"))?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| {
            format!(
                "server `{shown}`: `{}` is not an IPv6 address: write `[::1]:11211`",
                Shown::new(ip)
            )
        })?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port_of(entry, port)?,
            None if rest.is_empty() => DEFAULT_PORT,
            None => {
                return Err(format!(
                    "server `{shown}`: `{}` behind the bracket is not a port: write `[::1]:11211`",
                    Shown::new(rest)
                ));
            }
        };
        return Ok(address(ip.into(), port));
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) => (host, port_of(entry, port)?),
        None => (entry, DEFAULT_PORT),
    };
    if host.contains(':') {
        return Err(format!(
            "server `{shown}`: an IPv6 address with a port needs brackets: write `[::1]:11211`"
        ));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(address(ip, port));
    }
    check_name(entry, host)?;
    Ok(Endpoint::Name {
        host: host.to_ascii_lowercase().into(),
        port,
    })
}

/// Returns the host after the last credentials in `list`, or an empty text if there is no host. `None`: the list has no
/// credentials, and all of it may be shown.
///
/// The text before that host may be any part of a password, with commas, spaces and `@`, so no message may repeat it.
/// `%40` is an encoded `@`, and any other escape may be anything; no host has a percent sign, except before a zone.
pub(crate) fn host_after_credentials(list: &str) -> Option<&str> {
    let entry = list
        .split(',')
        .rfind(|entry| !is_local(entry) && entry.contains(['@', '＠', '﹫', '%']) && zoned(entry.trim()).is_none())?;
    let behind = entry.rsplit(['@', '＠', '﹫']).next().unwrap_or_default();
    let behind = behind.rsplit("%40").next().unwrap_or_default();
    let is_of_address = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let end = behind.find(|c| !is_of_address(c)).unwrap_or(behind.len());
    let (host, rest) = behind.split_at(end);
    Some(if rest.contains('%') { "" } else { host })
}

/// The part of an entry without credentials that may be shown. Without its host, `scheme://user:password` looks like a
/// host and a port, so only the scheme is shown where the rest is not an address.
pub(crate) fn redacted(entry: &str) -> Cow<'_, str> {
    match entry.split_once("://") {
        Some((scheme, rest)) if !is_local(entry) && parse_endpoint(rest).is_err() => format!("{scheme}://…").into(),
        _ => entry.into(),
    }
}

fn is_local(entry: &str) -> bool {
    let scheme = entry.trim_start().get(.."unix:".len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:"))
}

/// The parts of `fe80::1%eth0` or `[fe80::1%eth0]:11211`: the address, the zone, and the port if there is one.
fn zoned(entry: &str) -> Option<(Ipv6Addr, &str, Option<&str>)> {
    let (inside, port) = match entry.strip_prefix('[') {
        Some(inside) => match inside.split_once(']')? {
            (inside, "") => (inside, None),
            (inside, rest) => (inside, Some(rest.strip_prefix(':')?)),
        },
        None => (entry, None),
    };
    let (ip, zone) = inside.split_once('%')?;
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let is_zone = !zone.is_empty() && is_plain(zone) && port.is_none_or(is_plain);
    is_zone.then_some((ip.parse().ok()?, zone, port))
}

fn zoned_endpoint(entry: &str, ip: Ipv6Addr, zone: &str, port: Option<&str>) -> Result<Endpoint, String> {
    let [first, ..] = ip.segments();
    if first & 0xffc0 != 0xfe80 {
        return Err(format!(
            "server `{}`: only a link-local address (`fe80::…`) has a zone: leave `%{}` out",
            Shown::new(entry),
            Shown::new(zone)
        ));
    }
    let port = port.map_or(Ok(DEFAULT_PORT), |port| port_of(entry, port))?;
    let host = format!("{ip}%{zone}").into();
    Ok(Endpoint::Name { host, port })
}

fn address(ip: IpAddr, port: u16) -> Endpoint {
    // An IPv4 address mapped into IPv6 leads to the same server, so it must have the same id.
    Endpoint::Address(SocketAddr::new(ip.to_canonical(), port))
}

fn port_of(entry: &str, text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(format!(
            "server `{}`: `{}` is not a port: write a number from 1 to 65535, or leave it out for 11211",
            Shown::new(entry),
            Shown::new(text)
        )),
    }
}

fn check_name(entry: &str, host: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if host.is_empty() {
        return Err(format!(
            "server `{}`: the host is missing: write `host:port`",
            Shown::new(entry)
        ));
    }
    if let Some(bad) = host.chars().find(|c| !u8::try_from(*c).is_ok_and(plain)) {
        return Err(format!(
            "server `{}`: '{}' cannot be part of a host name: write `host:port`, with a comma between servers",
            Shown::new(entry),
            Shown::new(bad)
        ));
    }
    if let Some(node) = node_of_endpoint(host) {
        return Err(format!(
            "server `{}`: this name of a whole cluster leads to one of its nodes after the other, so two processes would \
             ask different ones: list the nodes by names of their own, like `{}`",
            Shown::new(entry),
            Shown::new(node)
        ));
    }
    // Platforms differ in how they read `300.1.1.1` or `127.1`.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.is_empty() || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "server `{}`: `{}` is neither an IPv4 address nor a host name: write `1.2.3.4:11211` or `host:port`",
            Shown::new(entry),
            Shown::new(host)
        ));
    }
    Ok(())
}

/// The name of the first node behind `host`, if that is the configuration endpoint of a cluster in Amazon
/// `ElastiCache`, which leads to another node every few seconds. Nodes have a number in its place, or behind it. Names elsewhere may
/// have a `cfg` in them as well.
fn node_of_endpoint(host: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    let (cluster, region) = host.split_once(".cfg.")?;
    let is_amazon = region.contains(".cache.amazonaws.");
    let number = region.split('.').next().unwrap_or_default();
    let is_node = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_amazon && !is_node).then(|| format!("{cluster}.0001.{region}"))
}

fn parse_local(entry: &str, path: &str) -> Result<Endpoint, String> {
    if !cfg!(unix) {
        return Err(format!(
            "server `{}`: this system has no Unix sockets: write `host:port`",
            Shown::new(entry)
        ));
    }
    if !path.starts_with('/') {
        // A relative path would name another server in each working directory.
        return Err(format!(
            "server `{}`: the path must be absolute: write `unix:/run/memcached.sock`",
            Shown::new(entry)
        ));
    }
    // Removes `//` and `/./`, which name the same socket. Only the file system can resolve `..` and links.
    let path: PathBuf = Path::new(path)
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .collect();
    if path.file_name().is_none() {
        return Err(format!(
            "server `{}`: the path is a directory: write the path of memcached's socket (its option -s)",
            Shown::new(entry)
        ));
    }
    if path.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Err(format!(
            "server `{}`: the path is too long for a socket: keep it under {} bytes",
            Shown::new(entry),
            LONGEST_SOCKET_PATH + 1
        ));
    }
    Ok(Endpoint::Local(path))
}

/// The error of an entry with a user or a password, which are left out of it.
pub(crate) fn credentials_error(host: &str) -> String {
    format!(
        "server `…@{}`: a user and password cannot be sent without TLS, which comes in a later version of memlock: \
         write `host:port`",
        Shown::new(host)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> String {
        ServerAddress::parse(text).expect(text).id().to_owned()
    }

    fn error(text: &str) -> String {
        ServerAddress::parse(text).expect_err(text)
    }

    #[test]
    fn all_spellings_of_a_server_have_one_id() {
        for (text, expected) in [
            ("cache", "cache:11211"),
            (" Cache.Example.COM ", "cache.example.com:11211"),
            ("cache:011211", "cache:11211"),
            ("127.0.0.1", "127.0.0.1:11211"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("::1", "[::1]:11211"),
            ("[0:0:0:0:0:0:0:1]", "[::1]:11211"),
            ("[::1]:7", "[::1]:7"),
            ("[2001:DB8::0A]:7", "[2001:db8::a]:7"),
            ("[::ffff:10.0.0.1]:7", "10.0.0.1:7"),
            ("my_host-2.local", "my_host-2.local:11211"),
            ("fe80::1%eth0", "[fe80::1%eth0]:11211"),
            ("[FE80:0::1%eth0.7]:7", "[fe80::1%eth0.7]:7"),
            ("[fe80::1%4]", "[fe80::1%4]:11211"),
            (
                "c.x1.cfg.0001.use1.cache.amazonaws.com",
                "c.x1.cfg.0001.use1.cache.amazonaws.com:11211",
            ),
            (
                "c.x1.0001.use1.cache.amazonaws.com",
                "c.x1.0001.use1.cache.amazonaws.com:11211",
            ),
            ("db.cfg.example.com", "db.cfg.example.com:11211"),
            ("unix:/run//./memcached.sock", "unix:/run/memcached.sock"),
        ] {
            assert_eq!(id(text), expected, "{text}");
        }
        assert_eq!(ServerAddress::parse(" Cache:7 ").expect("valid").as_str(), "Cache:7");
    }

    #[test]
    fn the_error_names_the_bad_entry_and_says_what_to_do() {
        for (text, part) in [
            ("", "host:port"),
            ("  ", "host:port"),
            (":11211", "the host is missing"),
            ("cache:", "is not a port"),
            ("cache:0", "1 to 65535"),
            ("cache:65536", "1 to 65535"),
            ("cache:+1", "1 to 65535"),
            ("cache:abc", "1 to 65535"),
            ("::1:99999", "1 to 65535"),
            ("2001:db8::g:1", "brackets"),
            ("[::1", "not closed"),
            ("[::1]x", "behind the bracket"),
            ("[cache]:1", "not an IPv6 address"),
            ("[2001:db8::1%eth0]:7", "link-local"),
            ("[fe80::1%eth0]:x", "1 to 65535"),
            (
                "c.x1.CFG.use1.cache.amazonaws.com:7",
                "`c.x1.0001.use1.cache.amazonaws.com`",
            ),
            ("300.1.1.1", "neither an IPv4 address"),
            ("127.1:11211", "neither an IPv4 address"),
            ("a b:1", "' '"),
            ("a;b", "';'"),
            ("hôte", "'ô'"),
            ("a\r\nflush_all", "host:port"),
            ("redis://cache:1", "unknown scheme"),
            ("memory:", "must stand alone"),
            ("unix:memcached.sock", "absolute"),
            ("unix:/", "directory"),
        ] {
            let error = error(text);
            assert!(error.contains(part), "{text:?}: {error}");
            assert!(error.starts_with(|c: char| c.is_lowercase()), "{error}");
            assert!(error.contains(&Shown::new(text.trim()).to_string()), "{error}");
        }
        assert!(error(&format!("unix:/{}", "x".repeat(200))).contains("too long"));
    }

    #[test]
    fn a_password_is_never_repeated() {
        for (text, host) in [
            ("memcache+tls://user:secret@cache:11211", "cache:11211"),
            ("MEMCACHE+TLS://user:secret@cache:11211", "cache:11211"),
            ("memcache://user:secret@cache:11211/?secret", "cache:11211"),
            ("http://user:secret@cache", "cache"),
            ("user:secret@cache:1", "cache:1"),
            ("user:secret@[::1]:1", "[::1]:1"),
            ("user:se@cret:secret@cache:1", "cache:1"),
            ("user:secret@", "`…@`"),
            ("memcache://user:secret@", "`…@`"),
            ("user%3Asecret%40cache:1", "cache:1"),
            ("user:secret%2540cache:1", "`…@`"),
            ("user:s%65cret@cache:1", "cache:1"),
            ("user:secret＠cache:1", "cache:1"),
            ("[fe80::1%secret]:1%40cache:1", "cache:1"),
            ("[fe80::1%secret]@cache:1", "cache:1"),
            ("[fe80::secret%40cache:1", "cache:1"),
            ("memcache://user:secret", "memcache://…"),
            ("memcache+tls://user:secret", "memcache+tls://…"),
            (" \tuser:secret@cache:1 ", "cache:1"),
        ] {
            let error = error(text);
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains(host), "{error}");
        }
        assert!(error("memcache+tls://cache").contains("TLS comes in a later version"));
        assert!(error("user:secret@cache").contains("a user and password"));
        assert_eq!(id("unix:/run/memcached@1%40.sock"), "unix:/run/memcached@1%40.sock");
    }

    #[test]
    fn an_entry_that_is_not_an_address_is_shown_escaped_and_short() {
        for text in [
            "a\u{1b}[2J\u{202e}b:1",
            "a:\u{1b}",
            "[\u{1b}]:1",
            "[::1]\u{1b}",
            "unix:\u{1b}",
            "\u{1b}://a",
            "\u{1b}",
        ] {
            let error = error(&format!("{text}{}", "x".repeat(60_000)));
            assert!(
                !error.contains(['\u{1b}', '\u{202e}']) && error.contains("\\u{1b}"),
                "{error}"
            );
            assert!(error.len() < 1000, "{} bytes", error.len());
        }
    }
}

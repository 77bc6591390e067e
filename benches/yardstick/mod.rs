//! What the benches compare with, and how.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use memlock_testkit::Memcached;

/// The quartiles of what was measured.
pub(crate) fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values.len() / 4, values.len() / 2, values.len() * 3 / 4].map(|index| values[index])
}

/// The least that a lock can cost: no checks, no clock, no nonce.
pub(crate) struct BareSocket {
    stream: BufReader<TcpStream>,
    line: String,
}

impl BareSocket {
    pub(crate) fn connect(server: &Memcached) -> BareSocket {
        let stream = TcpStream::connect(server.address()).expect("memcached is up");
        stream.set_nodelay(true).expect("a TCP socket");
        BareSocket {
            stream: BufReader::new(stream),
            line: String::new(),
        }
    }

    pub(crate) fn pair(&mut self) {
        self.exchange(b"ms bare:lock 16 ME T38 c\r\n0123456789abcdef\r\n");
        let cas = self.line.trim_end().strip_prefix("HD c").expect("stored").to_owned();
        self.exchange(format!("md bare:lock C{cas}\r\n").as_bytes());
        assert_eq!(self.line, "HD\r\n");
    }

    fn exchange(&mut self, request: &[u8]) {
        self.stream.get_mut().write_all(request).expect("memcached is up");
        self.line.clear();
        self.stream.read_line(&mut self.line).expect("memcached is up");
    }
}

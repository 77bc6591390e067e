//! The faulty network: a proxy that reads each exchange as a whole, and puts the test's fault into one of them.
//!
//! A thread per connection reads a request, lets the server answer it, and passes the answer on. So each byte of a
//! request and of a reply can be the last, and the test knows whether the server has executed the request.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::wire::{Kind, parse_request, read_replies};

/// A fault of one exchange.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    /// The exchange: the first of this kind …
    pub(crate) on: Kind,
    /// … after so many others of that kind.
    pub(crate) skip: u32,
    pub(crate) deed: Deed,
    pub(crate) then: Then,
}

#[derive(Clone, Copy)]
pub(crate) enum Deed {
    /// So many bytes of the request reach the server, which then sees the end of the connection.
    CutRequest(usize, End),
    /// The server answers, and so many bytes of the answer come back.
    CutReply(usize, End),
    /// The client's side is closed, and then the server gets the whole request: at once, or after another connection has
    /// read the item.
    CloseThenSend { after_a_look: bool },
    /// Nothing comes back, and the connection stays until the gate opens; the server gets the request, or does not.
    Silence { executed: bool },
    /// The reply comes when the gate opens.
    HoldReply,
    /// The server gets the request when the gate opens.
    HoldRequest,
    /// Something else comes back than the server's answer.
    Answer {
        executed: bool,
        with: fn(&Seen<'_>) -> Vec<u8>,
    },
    /// The same, and after it bytes without end or line end, until the client closes or the gate opens.
    Flood {
        executed: bool,
        with: fn(&Seen<'_>) -> Vec<u8>,
    },
}

/// How the client sees its connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In order (FIN).
    Finished,
    /// With an error (RST): the system sends one when a socket is closed that holds unread bytes.
    Reset,
}

/// The state of the network after the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It works again.
    Well,
    /// Every connection is closed at once, until [`Proxy::heal`].
    Down,
}

/// The parts from which an answer can be made.
pub(crate) struct Seen<'a> {
    /// The server's answer; empty if it was not asked.
    pub(crate) reply: &'a [u8],
    /// Its answer to the last exchange of the same kind.
    pub(crate) earlier: &'a [u8],
    /// The opaque of the request's first command; the opaques of the others follow it.
    pub(crate) opaque: u64,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    state: Mutex<State>,
    changed: Condvar,
    flooded: AtomicU64,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    has_fired: bool,
    is_down: bool,
    is_gate_open: bool,
    /// The delay of each answer.
    delay: Duration,
    earlier: HashMap<Kind, Vec<u8>>,
    answered: HashMap<Kind, u64>,
}

impl Proxy {
    pub(crate) fn before(server: &str) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
            flooded: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let listening = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if listening.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&listening);
                thread::spawn(move || shared.relay(client));
            }
        });
        Proxy { address, shared }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Arms `fault`, which then happens once. Replaces the fault before, and closes the gate.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut state = self.shared.state();
        state.fault = Some(fault);
        state.has_fired = false;
        state.is_down = false;
        state.is_gate_open = false;
    }

    /// Delays each answer from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// Whether the fault has happened.
    pub(crate) fn has_fired(&self) -> bool {
        self.shared.state().has_fired
    }

    /// Lets new exchanges pass without a fault from now on.
    pub(crate) fn heal(&self) {
        let mut state = self.shared.state();
        state.fault = None;
        state.is_down = false;
    }

    /// Releases the bytes that are held.
    pub(crate) fn open_gate(&self) {
        self.shared.state().is_gate_open = true;
        self.shared.changed.notify_all();
    }

    /// How many exchanges of these kinds the server has answered.
    pub(crate) fn answered(&self, kinds: &[Kind]) -> u64 {
        self.shared.answered(kinds)
    }

    /// How many bytes of floods the client took.
    pub(crate) fn flooded(&self) -> u64 {
        self.shared.flooded.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.open_gate();
        // Wakes the listener, if it is still there.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection, until either side ends it, or the fault does.
    fn relay(&self, mut client: TcpStream) -> Option<()> {
        if self.state().is_down {
            return None;
        }
        client.set_nodelay(true).ok()?;
        let mut server = TcpStream::connect(&self.server).ok()?;
        server.set_nodelay(true).ok()?;
        let mut is_spared = false;
        loop {
            let (request, kind, awaited) = peek_request(&client)?;
            let Some(fault) = self.turn_of(kind, is_spared)? else {
                consume(&mut client, request.len())?;
                let reply = self.answer(&mut server, &request, kind, awaited)?;
                client.write_all(&reply).ok()?;
                continue;
            };
            let opaque = first_opaque(&request);
            match fault.deed {
                Deed::CutRequest(at, end) if at < request.len() => {
                    if end == End::Finished {
                        consume(&mut client, request.len())?;
                    }
                    server.write_all(request.get(..at)?).ok()?;
                    self.fired(fault);
                    return None;
                }
                Deed::CutReply(at, end) => {
                    let reply = self.answer(&mut server, &request, kind, awaited)?;
                    if at >= reply.len() {
                        consume(&mut client, request.len())?;
                        client.write_all(&reply).ok()?;
                        continue;
                    }
                    if end == End::Finished {
                        consume(&mut client, request.len())?;
                    }
                    self.fired(fault);
                    client.write_all(reply.get(..at)?).ok()?;
                    return None;
                }
                // Nothing to cut: the request is shorter.
                Deed::CutRequest(..) => {
                    consume(&mut client, request.len())?;
                    let reply = self.answer(&mut server, &request, kind, awaited)?;
                    client.write_all(&reply).ok()?;
                }
                Deed::CloseThenSend { after_a_look } => {
                    consume(&mut client, request.len())?;
                    let looks = self.answered(&[Kind::Look]);
                    self.fired(fault);
                    drop(client);
                    if after_a_look {
                        self.wait_for_more_than(looks);
                    }
                    self.answer(&mut server, &request, kind, awaited)?;
                    return None;
                }
                Deed::Silence { executed } => {
                    consume(&mut client, request.len())?;
                    if executed {
                        self.answer(&mut server, &request, kind, awaited)?;
                    }
                    self.fired(fault);
                    self.wait_at_gate();
                    return None;
                }
                Deed::HoldReply => {
                    consume(&mut client, request.len())?;
                    let reply = self.answer(&mut server, &request, kind, awaited)?;
                    self.fired(fault);
                    self.wait_at_gate();
                    is_spared = true;
                    client.write_all(&reply).ok()?;
                }
                Deed::HoldRequest => {
                    consume(&mut client, request.len())?;
                    self.fired(fault);
                    self.wait_at_gate();
                    is_spared = true;
                    let reply = self.answer(&mut server, &request, kind, awaited)?;
                    client.write_all(&reply).ok()?;
                }
                Deed::Answer { executed, with } | Deed::Flood { executed, with } => {
                    consume(&mut client, request.len())?;
                    let earlier = self.state().earlier.get(&kind).cloned().unwrap_or_default();
                    let reply = if executed {
                        self.answer(&mut server, &request, kind, awaited)?
                    } else {
                        Vec::new()
                    };
                    self.fired(fault);
                    let (reply, earlier) = (&reply, &earlier);
                    client.write_all(&with(&Seen { reply, earlier, opaque })).ok()?;
                    if matches!(fault.deed, Deed::Flood { .. }) {
                        return self.flood(&mut client);
                    }
                }
            }
        }
    }

    /// The fault for an exchange of that kind now, if there is one. `None` if the connection ends.
    #[allow(clippy::option_option, reason = "the outer one is for `?`")]
    fn turn_of(&self, kind: Kind, is_spared: bool) -> Option<Option<Fault>> {
        let mut state = self.state();
        if state.is_down && !is_spared {
            return None;
        }
        let Some(fault) = state.fault.filter(|fault| fault.on == kind) else {
            return Some(None);
        };
        if fault.skip > 0 {
            state.fault = Some(Fault {
                skip: fault.skip - 1,
                ..fault
            });
            return Some(None);
        }
        state.fault = None;
        Some(Some(fault))
    }

    fn fired(&self, fault: Fault) {
        let mut state = self.state();
        state.has_fired = true;
        state.is_down = fault.then == Then::Down;
    }

    fn answer(&self, server: &mut TcpStream, request: &[u8], kind: Kind, awaited: usize) -> Option<Vec<u8>> {
        server.write_all(request).ok()?;
        let reply = read_replies(server, kind, awaited)?;
        let delay = self.state().delay;
        #[allow(clippy::disallowed_methods, reason = "it plays a network that takes its time")]
        thread::sleep(delay);
        let mut state = self.state();
        *state.answered.entry(kind).or_default() += 1;
        if kind != Kind::Handshake {
            state.earlier.insert(kind, reply.clone());
        }
        drop(state);
        self.changed.notify_all();
        Some(reply)
    }

    fn answered(&self, kinds: &[Kind]) -> u64 {
        let state = self.state();
        kinds.iter().filter_map(|kind| state.answered.get(kind)).sum()
    }

    /// Waits for one more look than these, or for the gate to open.
    fn wait_for_more_than(&self, looks: u64) {
        let mut state = self.state();
        while !state.is_gate_open && state.answered.get(&Kind::Look).is_none_or(|now| *now <= looks) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wait_at_gate(&self) {
        let mut state = self.state();
        while !state.is_gate_open {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn flood(&self, client: &mut TcpStream) -> Option<()> {
        // Short: the gate may open while the client takes no bytes.
        client.set_write_timeout(Some(Duration::from_millis(5))).ok()?;
        let bytes = vec![b'x'; 64 * 1024];
        loop {
            if self.state().is_gate_open {
                return None;
            }
            match client.write(&bytes) {
                Ok(count) => {
                    self.flooded.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }
}

/// Waits for the next request without taking it from the socket. `None` at the connection's end.
fn peek_request(client: &TcpStream) -> Option<(Vec<u8>, Kind, usize)> {
    let mut buffer = vec![0; 16 * 1024];
    let mut begun: Option<Instant> = None;
    loop {
        let count = client.peek(&mut buffer).ok().filter(|count| *count > 0)?;
        if let Some((kind, awaited)) = parse_request(buffer.get(..count)?) {
            buffer.truncate(count);
            return Some((buffer, kind, awaited));
        }
        // The rest of it is on its way, or never comes.
        if begun.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(1) {
            return None;
        }
        thread::yield_now();
    }
}

fn consume(client: &mut TcpStream, count: usize) -> Option<()> {
    client.read_exact(&mut vec![0; count]).ok()
}

fn first_opaque(request: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(request);
    let line = text.lines().next().unwrap_or_default();
    let opaque = line.split(' ').find_map(|word| word.strip_prefix('O'));
    opaque.and_then(|opaque| opaque.parse().ok()).unwrap_or_default()
}

//! The store against a *scripted* server, which does what a real one does not do on demand. Against real ones:
//! `tests/store.rs`.

/// Runs each test in both modes.
macro_rules! in_both_modes {
    ($($test:ident)*) => {
        mod blocking {
            $(#[test] fn $test() { super::$test(super::Blocking); })*
        }
        mod pipelined {
            $(#[test] fn $test() { super::$test(super::Pipelined); })*
        }
    };
}

mod connecting;
mod pipe_lifecycle;
mod pipeline;
mod replies;
mod silence;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Memcached, ServerAddress};
use crate::key::ItemName;
use crate::protocol::{Batch, Cas, Content, Exchanged, Instance, Nonce, Record, Reply, Request, Unanswered};
use crate::store::{Exchange, Store as _};
use crate::system::{background, clock};

/// Long enough for a busy machine. No test that passes waits for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A short limit, for tests that wait until it is over.
const SHORT: Duration = Duration::from_millis(60);

const INSTANCE: Instance = Instance {
    start: 1_800_000_000,
    pid: 77,
};

const GREETING_REPLY: &str = "STAT pid 77\r\nSTAT uptime 100\r\nSTAT time 1800000100\r\nSTAT version 1.6.18\r\nEND\r\n\
                              STAT cas_enabled yes\r\nEND\r\n";

/// What the server does on one connection, step by step.
enum Act {
    /// Reads until this text has arrived.
    Await(&'static str),
    /// Sends bytes.
    SendBytes(Vec<u8>),
    /// Waits for a message from the test.
    WaitFor(Receiver<()>),
    /// Does nothing for this long.
    Delay(Duration),
    /// Sends a line byte by byte, slowly, until the test sends a message or the client closes.
    Trickle(Receiver<()>),
    /// Reads until the client closes or has finished sending.
    ReadToEnd,
    /// Sends this many `x`, or as many as the client takes.
    Flood(usize),
    /// Sends `x` until the test sends a message.
    FloodUntil(Receiver<()>),
    /// Tells the test that the script has come to this act.
    Notify(Sender<()>),
    /// Reads until the client closes or has finished sending, and sends the test what it has read.
    Collect(Sender<String>),
}

use Act::{Await, Collect, Delay, Flood, FloodUntil, Notify, ReadToEnd, SendBytes, Trickle, WaitFor};

fn send(text: &str) -> Act {
    SendBytes(text.as_bytes().to_vec())
}

/// A server that plays one script on each connection, all at once, and closes the connection at the end of the script.
struct ScriptedServer {
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedServer {
    fn start(scripts: Vec<Vec<Act>>) -> ScriptedServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("bound");
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for script in scripts {
                    let (stream, _) = listener.accept().expect("accept");
                    stream.set_read_timeout(Some(PATIENCE)).expect("timer");
                    stream.set_write_timeout(Some(PATIENCE)).expect("timer");
                    stream.set_nodelay(true).expect("nodelay");
                    scope.spawn(|| play(stream, script));
                }
            });
        });
        ScriptedServer {
            address,
            thread: Some(thread),
        }
    }

    /// A server that answers the greeting as a suitable one does, and then does `acts`.
    fn greeting(acts: Vec<Act>) -> ScriptedServer {
        ScriptedServer::start(vec![greeted(acts)])
    }

    fn store(&self) -> Memcached {
        let address = ServerAddress::parse(&self.address.to_string()).expect("an address");
        Memcached::new(vec![address], "memlock")
    }

    /// Waits for the scripts to end.
    fn join(mut self) {
        self.thread.take().expect("once").join().expect("the script was played");
    }
}

/// A store with an open connection to a server that then does `acts`, for tests with a short limit, in which a busy
/// machine may not manage to connect. The next opaque is 2.
fn connected(mode: Mode, mut acts: Vec<Act>) -> (ScriptedServer, Memcached) {
    acts.splice(0..0, [Await("v c O1\r\n"), send("EN O1\r\n")]);
    let server = ScriptedServer::greeting(acts);
    let store = server.store();
    assert_eq!(mode.ask(&store, &[read()]).replies.as_slice(), [Reply::Missing]);
    (server, store)
}

fn greeted(mut acts: Vec<Act>) -> Vec<Act> {
    acts.splice(0..0, [Await("stats settings\r\n"), send(GREETING_REPLY)]);
    acts
}

fn play(mut stream: TcpStream, script: Vec<Act>) {
    let mut unread = Vec::new();
    let mut bytes = [0; 4096];
    for act in script {
        match act {
            Await(text) => loop {
                let found = unread.windows(text.len()).position(|window| window == text.as_bytes());
                if let Some(start) = found {
                    unread.drain(..start + text.len());
                    break;
                }
                let read = stream.read(&mut bytes).expect("a request");
                assert!(read > 0, "closed while {text:?} was expected");
                unread.extend_from_slice(&bytes[..read]);
            },
            // The client may close at any time.
            SendBytes(reply) => drop(stream.write_all(&reply)),
            WaitFor(go) => go.recv_timeout(PATIENCE).expect("the test sends it"),
            Delay(time) => drop(channel::<()>().1.recv_timeout(time)),
            Trickle(stop) => {
                while stop.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                    if stream.write_all(b"H").is_err() {
                        break;
                    }
                }
            }
            ReadToEnd => while stream.read(&mut bytes).is_ok_and(|read| read > 0) {},
            FloodUntil(stop) => {
                let is_over = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    // Several, so that there is always more than is read.
                    for _ in 0..3 {
                        let (mut stream, is_over) = (&stream, &is_over);
                        scope.spawn(move || {
                            while !is_over.load(Ordering::Relaxed) && stream.write_all(&vec![b'x'; 200_000]).is_ok() {}
                        });
                    }
                    let _ = stop.recv_timeout(PATIENCE);
                    is_over.store(true, Ordering::Relaxed);
                });
            }
            Notify(sender) => sender.send(()).expect("the test listens"),
            Collect(sender) => {
                let _ = stream.read_to_end(&mut unread);
                let text = String::from_utf8_lossy(&unread).into_owned();
                sender.send(text).expect("the test listens");
            }
            Flood(count) => {
                for _ in 0..count / 1000 {
                    if stream.write_all(&[b'x'; 1000]).is_err() {
                        break;
                    }
                }
            }
        }
    }
}

fn item() -> ItemName {
    ItemName::of_lock("memlock", "f", "k")
}

fn add() -> Request {
    Request::Add {
        record: Record {
            nonce: Nonce(1),
            lease: Duration::from_secs(5),
            renewal: 0,
            label: "h".into(),
            full_name: None,
        },
        ttl: 13,
    }
}

fn read() -> Request {
    Request::Read
}

fn delete() -> Request {
    Request::Delete { cas: cas(5) }
}

fn cas(number: u64) -> Cas {
    Cas::new(number).expect("not zero")
}

/// How a batch is exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// On the caller's thread, on a connection of its own.
    Blocking,
    /// In a future, over the pipe that all tasks share.
    Pipelined,
}

use crate::system::on_thread;
use Mode::{Blocking, Pipelined};

impl Mode {
    fn ask(self, store: &Memcached, batch: &[Request]) -> Exchanged {
        self.exchange(store, batch, None, PATIENCE)
    }

    fn exchange(self, store: &Memcached, batch: &[Request], only_on: Option<Instance>, limit: Duration) -> Exchanged {
        match self {
            Blocking => store.exchange(0, &item(), batch, only_on, limit),
            Pipelined => outcome(&mut *store.begin(0, &item(), Batch::from(batch), only_on, limit)),
        }
    }

    /// How many connections are kept for the next batch.
    fn kept(self, store: &Memcached) -> usize {
        match self {
            Blocking => store.servers[0].pool().len(),
            Pipelined => usize::from(store.servers[0].pipe().is_some()),
        }
    }
}

/// Waits for the answer as a small executor does.
fn outcome(exchange: &mut dyn Exchange) -> Exchanged {
    on_thread::wait_for(std::future::poll_fn(|context| exchange.poll(context)), 2 * PATIENCE).expect("an outcome")
}

fn unanswered(answer: &Exchanged) -> Option<Unanswered> {
    answer.unanswered
}

fn text(answer: &Exchanged) -> String {
    answer.source.as_ref().expect("a failure").to_string()
}

/// The end of the data block of [`add`], which is the end of the request.
const ADDED: &str = "5000000 0 h\r\n";

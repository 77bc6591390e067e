//! Name lookup and connecting, within a limit. Nothing is sent here, so after a failure no request was executed.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::Notify;

use super::split::{self, SplitSocket};
use super::transport::{Limit, Stream};
use crate::store::memcached::address::{Endpoint, ServerAddress};
use crate::store::memcached::failure::Failure;
use crate::system::clock;

#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// The shortest time in which one of several addresses is tried. All of them are on this machine.
const SHORTEST_SHARE: Duration = Duration::from_millis(50);

/// Connects to one server, again and again.
#[derive(Debug)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    lookup: BlockingCall<Vec<SocketAddr>>,
    #[cfg(unix)]
    local: BlockingCall<UnixStream>,
}

impl Dialer {
    pub(crate) fn new(address: &ServerAddress) -> Dialer {
        Dialer {
            endpoint: address.endpoint().clone(),
            lookup: BlockingCall::default(),
            #[cfg(unix)]
            local: BlockingCall::default(),
        }
    }

    pub(crate) fn dial(&self, limit: &mut Limit) -> Result<Stream, Failure> {
        match &self.endpoint {
            Endpoint::Address(address) => connect(&[*address], limit),
            Endpoint::Name { host, port } => connect(&self.resolve(host, *port, limit)?, limit),
            #[cfg(unix)]
            Endpoint::Local(path) => {
                let path = path.clone();
                // Connecting to a local socket blocks while its server's backlog is full, and the call has no time
                // limit.
                let stream = self
                    .local
                    .call(limit, move || UnixStream::connect(&path))
                    .map_err(local_error)?;
                Ok(Stream::Local(stream))
            }
            #[cfg(not(unix))]
            Endpoint::Local(_) => Err(Failure::new("this system has no Unix sockets")),
        }
    }

    /// Like [`dial`](Self::dial) on the background thread, for the connection that all tasks share. The caller keeps
    /// the limit, which is about `length`.
    pub(crate) async fn dial_shared(&self, length: Duration) -> Result<SplitSocket, Failure> {
        let addresses = match &self.endpoint {
            Endpoint::Address(address) => vec![*address],
            Endpoint::Name { host, port } => {
                let found = self.lookup.call_async(lookup_of(host, *port)).await;
                choose_found(host, found)?
            }
            #[cfg(unix)]
            Endpoint::Local(path) => {
                let stream = tokio::net::UnixStream::connect(path).await.map_err(local_error)?;
                return Ok(split::split_local(stream));
            }
            #[cfg(not(unix))]
            Endpoint::Local(_) => return Err(Failure::new("this system has no Unix sockets")),
        };
        connect_shared(&addresses, length).await.map(split::split_tcp)
    }

    /// Looks the name up for each new connection, since its address may change.
    fn resolve(&self, host: &str, port: u16, limit: &mut Limit) -> Result<Vec<SocketAddr>, Failure> {
        choose_found(host, self.lookup.call(limit, lookup_of(host, port)))
    }
}

/// The system's name lookup, which blocks.
fn lookup_of(host: &str, port: u16) -> impl Fn() -> io::Result<Vec<SocketAddr>> + Clone + Send + 'static {
    let name = host.to_owned();
    move || Ok((name.as_str(), port).to_socket_addrs()?.collect())
}

fn choose_found(host: &str, found: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, Failure> {
    let addresses = found.map_err(|error| {
        let what = match host.split_once('%') {
            Some((ip, zone)) => format!("cannot use `{ip}` in the zone `{zone}` (is that a network interface here?)"),
            None => format!("cannot look up the name `{host}`"),
        };
        Failure::with_cause(what, error)
    })?;
    choose(host, &addresses).map_err(Failure::new)
}

/// Connects to the first of `addresses` that accepts, all of them within `limit`.
fn connect(addresses: &[SocketAddr], limit: &mut Limit) -> Result<Stream, Failure> {
    let mut failed = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let left = share(limit.refresh(), addresses.len() - index);
        let connected = if left.is_zero() {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            TcpStream::connect_timeout(address, left)
        };
        // A batch is one small packet, which must not wait for more.
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(Stream::Tcp(stream)),
            Err(error) => failed.push((*address, error)),
        }
    }
    Err(tcp_failure(failed))
}

/// Like [`connect`], for a caller that keeps the limit, which is about `length`.
async fn connect_shared(addresses: &[SocketAddr], length: Duration) -> Result<tokio::net::TcpStream, Failure> {
    let (began, mut failed) = (clock::instant(), Vec::new());
    for (index, address) in addresses.iter().enumerate() {
        let connecting = tokio::net::TcpStream::connect(address);
        let others = addresses.len() - index - 1;
        let connected = if others == 0 {
            connecting.await
        } else {
            let left = length.saturating_sub(clock::instant().saturating_duration_since(began));
            let timed = tokio::time::timeout(share(left, others + 1), connecting).await;
            timed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed.push((*address, error)),
        }
    }
    Err(tcp_failure(failed))
}

/// The time for the next of `addresses` that are still to be tried, of which `left` is left for all.
fn share(left: Duration, addresses: usize) -> Duration {
    let equal = left / u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    equal.max(SHORTEST_SHARE).min(left)
}

/// The failure to connect to each of these addresses.
fn tcp_failure(mut failed: Vec<(SocketAddr, io::Error)>) -> Failure {
    let Some((address, error)) = failed.pop() else {
        return Failure::new("it has no address");
    };
    let others = failed.iter().map(|(address, error)| format!("{address} ({error}) or "));
    let others: String = others.collect();
    Failure::with_cause(
        format!("cannot connect to {others}{address} (is memcached running there?)"),
        error,
    )
}

#[cfg(unix)]
fn local_error(error: io::Error) -> Failure {
    Failure::with_cause("cannot connect (is memcached running with -s?)", error)
}

/// The addresses to try for a name, in turn. Two processes must never choose differently, so a name with several
/// addresses is refused. One IPv4 and one IPv6 address may belong to the same machine, and so may several loopback
/// addresses. Only those of the second kind are certain to, so only they are all tried: memcached may listen on any.
fn choose(host: &str, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !distinct.contains(address) {
            distinct.push(*address);
        }
    }
    let mut ipv4 = distinct.iter().filter(|address| address.is_ipv4());
    let first_ipv4 = ipv4.next();
    match (distinct.as_slice(), first_ipv4) {
        ([], _) => Err(format!("the name `{host}` has no address")),
        ([only], _) => Ok(vec![*only]),
        _ if distinct.iter().all(|address| address.ip().is_loopback()) => {
            // The order of the others stays that of the system.
            distinct.sort_by_key(SocketAddr::is_ipv6);
            Ok(distinct)
        }
        (_, Some(only)) if ipv4.next().is_none() => Ok(vec![*only]),
        _ => {
            let listed: Vec<String> = distinct.iter().map(|address| address.ip().to_string()).collect();
            Err(format!(
                "the name `{host}` has several addresses ({}), and two processes that took different ones would not \
                 exclude each other: list one address of one server",
                listed.join(", ")
            ))
        }
    }
}

/// A blocking system call that has no time limit. It is made on a thread of its own, so that its callers can keep their
/// limits. There is one such thread at a time, however many callers give up waiting for it.
#[derive(Debug)]
struct BlockingCall<T> {
    shared: Arc<CallShared<T>>,
}

#[derive(Debug)]
struct CallShared<T> {
    state: Mutex<CallState<T>>,
    changed: Condvar,
    /// The same for callers that wait without blocking.
    changed_async: Notify,
}

#[derive(Debug)]
struct CallState<T> {
    running: bool,
    /// How many callers wait. A result is dropped if no caller waits for it: it would be stale at the next call.
    waiting: usize,
    result: Option<io::Result<T>>,
}

impl<T> Default for BlockingCall<T> {
    fn default() -> Self {
        let state = CallState {
            running: false,
            waiting: 0,
            result: None,
        };
        BlockingCall {
            shared: Arc::new(CallShared {
                state: Mutex::new(state),
                changed: Condvar::new(),
                changed_async: Notify::new(),
            }),
        }
    }
}

impl<T: Send + 'static> BlockingCall<T> {
    fn call(&self, limit: &mut Limit, call: impl Fn() -> io::Result<T> + Clone + Send + 'static) -> io::Result<T> {
        let shared = &*self.shared;
        let _waiting = CallWaiter::begin(shared);
        let mut state = shared.state();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            let left = limit.refresh();
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.start(&mut state, &call)?;
            state = shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Like [`call`](Self::call), but without blocking, and without a limit.
    async fn call_async(&self, call: impl Fn() -> io::Result<T> + Clone + Send + 'static) -> io::Result<T> {
        let shared = &*self.shared;
        let _waiting = CallWaiter::begin(shared);
        loop {
            let mut changed = std::pin::pin!(shared.changed_async.notified());
            // Before the result is checked, so that no notification is missed.
            changed.as_mut().enable();
            {
                let mut state = shared.state();
                if let Some(result) = state.result.take() {
                    return result;
                }
                self.start(&mut state, &call)?;
            }
            changed.await;
        }
    }

    /// Makes the call, unless a thread is making it.
    fn start(
        &self,
        state: &mut CallState<T>,
        call: &(impl Fn() -> io::Result<T> + Clone + Send + 'static),
    ) -> io::Result<()> {
        if state.running {
            return Ok(());
        }
        let (shared, call) = (Arc::clone(&self.shared), call.clone());
        thread::Builder::new().name("memlock-dial".to_owned()).spawn(move || {
            let result = call();
            let mut state = shared.state();
            state.running = false;
            if state.waiting > 0 {
                state.result = Some(result);
            }
            shared.notify();
        })?;
        state.running = true;
        Ok(())
    }
}

impl<T> CallShared<T> {
    fn state(&self) -> MutexGuard<'_, CallState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.notify_all();
        self.changed_async.notify_waiters();
    }
}

/// A caller that waits for the result, until this is dropped.
struct CallWaiter<'a, T>(&'a CallShared<T>);

impl<'a, T> CallWaiter<'a, T> {
    fn begin(shared: &'a CallShared<T>) -> CallWaiter<'a, T> {
        shared.state().waiting += 1;
        CallWaiter(shared)
    }
}

impl<T> Drop for CallWaiter<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting -= 1;
        if state.waiting == 0 {
            state.result = None;
        } else {
            // This caller took the result, or gave up: another caller must make its own call.
            self.0.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;

    use memlock_testkit::wait_until;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn chosen(addresses: &[&str]) -> Result<String, String> {
        let parsed: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect();
        let texts =
            |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        choose("cache", &parsed).map(texts)
    }

    #[test]
    fn a_name_with_several_addresses_is_refused() {
        for addresses in [
            &["10.0.0.1:1", "10.0.0.2:1"][..],
            &["[2001:db8::1]:1", "[2001:db8::2]:1"],
            &["127.0.0.1:1", "10.0.0.1:1"],
            &["10.0.0.1:1", "10.0.0.2:1", "[2001:db8::1]:1"],
        ] {
            let error = chosen(addresses).expect_err("several");
            assert!(
                error.contains("several addresses") && error.contains("`cache`"),
                "{error}"
            );
        }
        assert!(chosen(&[]).expect_err("none").contains("no address"));
    }

    #[test]
    fn both_address_families_of_one_machine_are_accepted() {
        assert_eq!(chosen(&["10.0.0.1:1"]), Ok("10.0.0.1:1".into()));
        assert_eq!(chosen(&["10.0.0.1:1", "10.0.0.1:1"]), Ok("10.0.0.1:1".into()));
        assert_eq!(chosen(&["[2001:db8::1]:1", "10.0.0.1:1"]), Ok("10.0.0.1:1".into()));
        assert_eq!(chosen(&["[::1]:1"]), Ok("[::1]:1".into()));
    }

    #[test]
    fn all_loopback_addresses_are_tried_in_turn_and_those_of_other_machines_are_not() {
        assert_eq!(chosen(&["[::1]:1", "127.0.0.1:1"]), Ok("127.0.0.1:1 [::1]:1".into()));
        assert_eq!(
            chosen(&["[::1]:1", "127.0.1.1:1", "127.0.0.1:1", "[::1]:1"]),
            Ok("127.0.1.1:1 127.0.0.1:1 [::1]:1".into())
        );
        assert_eq!(chosen(&["[::1]:1", "10.0.0.1:1"]), Ok("10.0.0.1:1".into()));
    }

    /// Two addresses on this machine on which nothing listens.
    fn unused() -> [SocketAddr; 2] {
        ["127.0.0.1:0", "127.0.0.1:0"]
            .map(|address| TcpListener::bind(address).expect("bind"))
            .map(|listener| listener.local_addr().expect("bound"))
    }

    /// Connects to `addresses` as threads do and as tasks do.
    fn connected(addresses: &[SocketAddr]) -> [Result<SocketAddr, String>; 2] {
        let thread = connect(addresses, &mut Limit::new(PATIENCE)).map(|stream| match stream {
            Stream::Tcp(stream) => stream.peer_addr().expect("connected"),
            #[cfg(unix)]
            Stream::Local(_) => panic!("not over TCP"),
        });
        let (sender, receiver) = mpsc::channel();
        let of_task = addresses.to_vec();
        crate::system::background::spawn(async move {
            let connected = connect_shared(&of_task, PATIENCE).await;
            let _ = sender.send(connected.map(|stream| stream.peer_addr().expect("connected")));
        });
        let task = receiver.recv_timeout(PATIENCE).expect("an outcome");
        [thread, task].map(|connected| connected.map_err(|failure| failure.to_string()))
    }

    #[test]
    fn the_first_address_that_accepts_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let listening = listener.local_addr().expect("bound");
        let [one, other] = unused();
        assert_eq!(connected(&[one, other, listening]), [Ok(listening), Ok(listening)]);
        assert_eq!(connected(&[listening, one]), [Ok(listening), Ok(listening)]);
    }

    #[test]
    fn the_failures_of_all_addresses_are_reported() {
        let [one, other] = unused();
        for connected in connected(&[one, other]) {
            let error = connected.expect_err("nothing listens");
            for part in [
                format!("{one} ("),
                format!(" or {other} (is memcached running there?): "),
            ] {
                assert!(error.contains(&part), "{error}");
            }
        }
    }

    #[test]
    fn each_address_gets_its_share_of_the_limit() {
        let seconds = Duration::from_secs;
        assert_eq!(share(seconds(6), 3), seconds(2));
        assert_eq!(share(seconds(6), 1), seconds(6));
        assert_eq!(share(Duration::from_millis(60), 3), SHORTEST_SHARE);
        assert_eq!(share(Duration::from_millis(10), 3), Duration::from_millis(10));
    }

    #[test]
    fn an_address_in_a_zone_is_looked_up() {
        let dialer = Dialer::new(&ServerAddress::parse("[fe80::1%7]:1").expect("valid"));
        let found = dialer.resolve("fe80::1%7", 1, &mut Limit::new(PATIENCE));
        match found.expect("a number needs no interface").as_slice() {
            [SocketAddr::V6(address)] => assert_eq!(address.scope_id(), 7),
            other => panic!("{other:?}"),
        }
        let error = dialer.resolve("fe80::1%no-such", 1, &mut Limit::new(PATIENCE));
        let error = error.expect_err("no such interface").to_string();
        assert!(error.contains("zone `no-such`"), "{error}");
    }

    #[test]
    fn a_call_that_hangs_blocks_one_thread_and_no_caller_beyond_its_limit() {
        let (release, hold) = mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        let started = Arc::new(Mutex::new(0));
        let unbounded = BlockingCall::default();
        let call = {
            let started = Arc::clone(&started);
            move || {
                *started.lock().expect("sound") += 1;
                let _ = hold.lock().expect("sound").recv();
                Ok(7)
            }
        };
        for _ in 0..3 {
            let error = unbounded
                .call(&mut Limit::new(Duration::from_millis(20)), call.clone())
                .expect_err("it hangs");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        // All callers have given up, maybe before the system started the thread.
        wait_until("the call to begin", PATIENCE, || *started.lock().expect("sound") > 0);
        assert_eq!(*started.lock().expect("sound"), 1);
        drop(release);
        let answer = unbounded.call(&mut Limit::new(Duration::from_secs(10)), call);
        assert_eq!(answer.expect("released"), 7);
    }

    #[test]
    fn tasks_and_threads_share_one_call_and_callers_that_give_up_leave_nothing() {
        let (release, hold) = mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        let started = Arc::new(Mutex::new(0));
        let unbounded = BlockingCall::default();
        let call = {
            let started = Arc::clone(&started);
            move || {
                *started.lock().expect("sound") += 1;
                let _ = hold.lock().expect("sound").recv();
                Ok(7)
            }
        };
        let wait = |limit| crate::system::on_thread::wait_for(Box::pin(unbounded.call_async(call.clone())), limit);
        for _ in 0..3 {
            assert!(wait(Duration::from_millis(20)).is_none(), "it hangs");
            let error = unbounded.call(&mut Limit::new(Duration::from_millis(20)), call.clone());
            assert_eq!(error.expect_err("it hangs").kind(), io::ErrorKind::TimedOut);
        }
        wait_until("the call to begin", PATIENCE, || *started.lock().expect("sound") > 0);
        assert_eq!(*started.lock().expect("sound"), 1);
        assert_eq!(unbounded.shared.state().waiting, 0);
        drop(release);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| unbounded.call(&mut Limit::new(Duration::from_secs(10)), call.clone()));
            let task = wait(Duration::from_secs(10)).expect("released");
            assert_eq!(task.expect("released"), 7);
            assert_eq!(thread.join().expect("no panic").expect("released"), 7);
        });
        assert!(unbounded.shared.state().result.is_none(), "no caller waits for it");
    }
}

//! Addresses that lead to more than one server, as those of a fail-over or a service do.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use memlock::{Error, Locks};
use memlock_testkit::Memcached;

use crate::stage::{Share, hold, ms};

/// A router that leads each new connection to the server that it is set to.
struct Router {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    routes: Mutex<Routes>,
    is_over: AtomicBool,
}

struct Routes {
    server: String,
    /// Both ends of each connection.
    open: Vec<TcpStream>,
}

impl Router {
    fn to(server: &Memcached) -> Router {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let shared = Arc::new(Shared {
            routes: Mutex::new(Routes {
                server: server.address(),
                open: Vec::new(),
            }),
            is_over: AtomicBool::new(false),
        });
        let address = listener.local_addr().expect("bound");
        let routing = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if routing.is_over.load(Ordering::SeqCst) {
                    break;
                }
                // Under the lock, so that a switch finds each connection to the server from before.
                let mut routes = routing.routes();
                let server = TcpStream::connect(&routes.server).expect("it runs");
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (copy(from), copy(to));
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                routes.open.extend([client, server]);
            }
        });
        Router { address, shared }
    }

    /// Leads to `server` from now on, and cuts what is open.
    fn switch_to(&self, server: &Memcached) {
        let mut routes = self.shared.routes();
        routes.server = server.address();
        for stream in routes.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn locks(&self) -> Locks {
        let builder = Locks::builder().servers(self.address.to_string());
        builder.exchange_timeout(ms(2000)).build().expect("a good address")
    }
}

impl Shared {
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a copy")
}

/// Two servers. The second one was started later.
fn two_servers() -> [Memcached; 2] {
    [Memcached::start(), Memcached::start()]
}

fn acquired(locks: &Locks, of_task: bool) -> Result<(), Error> {
    let lock = locks.lock("k");
    if of_task {
        smol::block_on(lock.try_acquire_async()).map(drop)
    } else {
        lock.try_acquire().map(drop)
    }
}

#[test]
fn an_address_that_leads_back_to_an_earlier_server_is_a_mistake_that_names_both() {
    let _share = Share::part();
    let [older, newer] = two_servers();
    for of_task in [false, true] {
        let router = Router::to(&older);
        let locks = router.locks();
        let before = hold(locks.lock("k"));
        let token = before.token();
        before.release();
        router.switch_to(&newer);
        // As after a restart. One exchange may still meet the end of the old connection.
        let after = hold(locks.lock("k"));
        assert!(after.token() > token);
        after.release();
        router.switch_to(&older);
        // The server that was there first would give a lower token.
        for server in [&older, &newer, &older] {
            router.switch_to(server);
            let error = acquired(&locks, of_task).expect_err("no lock holds at this address");
            assert!(error.is_config(), "{error}");
            let text = error.to_string();
            for part in [
                router.address.to_string(),
                format!("pid {}", older.pid()),
                format!("pid {}", newer.pid()),
            ] {
                assert!(text.contains(&part), "{text:?} does not say {part:?}");
            }
        }
        // Others are not to blame.
        hold(router.locks().lock("k")).release();
    }
}

#[test]
fn a_holder_at_an_address_with_two_servers_loses_its_lock_and_learns_why() {
    let _share = Share::part();
    let [older, newer] = two_servers();
    let router = Router::to(&newer);
    let locks = router.locks();
    let guard = hold(locks.lock("k"));
    router.switch_to(&older);
    // The first renewal meets the end of the connection.
    let _ = guard.renew();
    let error = guard.renew().expect_err("the server that granted it is not there");
    assert!(
        error.is_config() && error.to_string().contains("two servers"),
        "{error}"
    );
    assert!(guard.is_valid(), "until its deadline");
}

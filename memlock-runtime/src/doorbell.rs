//! Being told that a lock has become free: a UDP socket. A process that stands in line says there where it can be called;
//! who releases the lock sends a datagram to the first in line, which then looks at once.
//!
//! A hint, and no more: whoever is called looks as it would have looked later, and a datagram that is lost, or sent to a
//! process that is no more, costs nothing but the time until the next look. A datagram counts only with the secret that
//! stands in the line. Who can read that can cause no more than some looks: the line's [`Standing`](crate::protocol::Standing)
//! heeds calls in vain only now and then.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use tokio::sync::Notify;

use crate::background::{self, Either, either};
use crate::key::ItemName;
use crate::secret::Secret;
use crate::store::Call;

/// What a datagram begins with.
const GREETING: &str = "memlock 1";

/// The longest datagram that is understood: the greeting, the secret, and the longest name of an item.
const LONGEST_CALL: usize = 512;

/// One socket, at which the waiters of one `Locks` can be called.
#[derive(Debug)]
pub(crate) struct Doorbell {
    socket: UdpSocket,
    /// What others are called with. Calling with `socket` would wake up the background thread, to be told that it may write.
    caller: UdpSocket,
    call: Call,
    waiters: Mutex<Waiters>,
    /// Whether somebody listens on the background thread.
    is_attended: AtomicBool,
    closed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiters {
    by_item: HashMap<String, Arc<Waiter>>,
    /// The last lock for which nobody waited when it was called for. Somebody may be about to, whose place in line was kept.
    missed: Option<String>,
}

#[derive(Debug)]
struct Waiter {
    waker: Waker,
    was_called: AtomicBool,
}

impl Doorbell {
    /// A socket at `address`, where others can reach it. Port 0: any that is free. Calls count that tell `secret`.
    pub(crate) fn open(address: SocketAddr, secret: u64) -> io::Result<Doorbell> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let caller = UdpSocket::bind((address.ip(), 0))?;
        caller.set_nonblocking(true)?;
        Ok(Doorbell {
            socket,
            caller,
            call: Call {
                address,
                secret: Secret::new(secret),
            },
            waiters: Mutex::default(),
            is_attended: AtomicBool::new(false),
            closed: Arc::default(),
        })
    }

    /// How to call those who wait here.
    pub(crate) fn call(&self) -> Call {
        self.call
    }

    /// Calls a process that waits for the lock in `item`. Whether it hears that is not known.
    pub(crate) fn ring(&self, call: Call, item: &ItemName) {
        let text = format!("{GREETING} {:016x} {}", call.secret.expose(), item.as_str());
        // The socket's buffer may be full, or the network down: then it is not called.
        let _ = self.caller.send_to(text.as_bytes(), call.address);
    }

    /// This process has had its turn for the lock in `item`: calls that came before are about that one.
    pub(crate) fn forget_calls(&self, item: &ItemName) {
        self.waiters().missed.take_if(|missed| missed == item.as_str());
    }

    /// From now on `waker` is woken by calls for the lock in `item`, until what is returned is dropped.
    pub(crate) fn listen(self: &Arc<Doorbell>, item: &ItemName, waker: Waker) -> Listening {
        self.attend();
        let mut waiters = self.waiters();
        let missed = waiters.missed.take_if(|missed| missed == item.as_str());
        let was_called = AtomicBool::new(missed.is_some());
        let waiter = Arc::new(Waiter { waker, was_called });
        waiters.by_item.insert(item.as_str().to_owned(), Arc::clone(&waiter));
        drop(waiters);
        if missed.is_some() {
            waiter.waker.wake_by_ref();
        }
        Listening {
            doorbell: Arc::clone(self),
            item: item.clone(),
            waiter,
        }
    }

    /// Sees to it that somebody listens.
    fn attend(self: &Arc<Doorbell>) {
        if self.is_attended.swap(true, Ordering::AcqRel) {
            return;
        }
        let (doorbell, closed) = (Arc::downgrade(self), Arc::clone(&self.closed));
        let socket = self.socket.try_clone();
        background::spawn(async move {
            match socket.and_then(tokio::net::UdpSocket::from_std) {
                Ok(socket) => attend(&socket, &doorbell, &closed).await,
                Err(error) => tracing::warn!(target: "memlock", %error, "nobody can be woken; waiters poll"),
            }
        });
    }

    /// What a datagram says, if it is meant for this process.
    fn heard(&self, datagram: &[u8]) {
        let words = std::str::from_utf8(datagram)
            .ok()
            .and_then(|text| text.strip_prefix(GREETING));
        let Some((secret, item)) = words.and_then(|words| words.trim_start().split_once(' ')) else {
            return;
        };
        if u64::from_str_radix(secret, 16) != Ok(*self.call.secret.expose()) {
            return;
        }
        let mut waiters = self.waiters();
        let Some(waiter) = waiters.by_item.get(item).map(Arc::clone) else {
            waiters.missed = Some(item.to_owned());
            return;
        };
        drop(waiters);
        waiter.was_called.store(true, Ordering::Release);
        waiter.waker.wake_by_ref();
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes calls until the doorbell is gone.
async fn attend(socket: &tokio::net::UdpSocket, doorbell: &Weak<Doorbell>, closed: &Notify) {
    let mut datagram = [0; LONGEST_CALL];
    loop {
        let received = match either(socket.recv_from(&mut datagram), closed.notified()).await {
            Either::First(received) => received,
            Either::Second(()) => return,
        };
        let Some(doorbell) = doorbell.upgrade() else { return };
        // An error is what became of a datagram that was sent: nobody listens at its address any more.
        if let Ok((length, _)) = received {
            doorbell.heard(datagram.get(..length).unwrap_or_default());
        }
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}

/// A waiter that can be called.
#[derive(Debug)]
pub(crate) struct Listening {
    doorbell: Arc<Doorbell>,
    item: ItemName,
    waiter: Arc<Waiter>,
}

impl Listening {
    /// Whether it was called since [`was_called`](Self::was_called) was asked last.
    pub(crate) fn is_called(&self) -> bool {
        self.waiter.was_called.load(Ordering::Acquire)
    }

    /// Whether it was called since this was asked last.
    pub(crate) fn was_called(&self) -> bool {
        self.waiter.was_called.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let waiters = &mut self.doorbell.waiters().by_item;
        // The next who waits for this lock may have come already.
        if waiters
            .get(self.item.as_str())
            .is_some_and(|waiter| Arc::ptr_eq(waiter, &self.waiter))
        {
            waiters.remove(self.item.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    struct Told(mpsc::Sender<()>);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    fn loopback(secret: u64) -> Arc<Doorbell> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Arc::new(Doorbell::open(any, secret).expect("a socket"))
    }

    fn item(key: &str) -> ItemName {
        ItemName::of_lock("memlock", "doorbell", key)
    }

    #[test]
    fn a_call_wakes_who_waits_for_that_lock_and_nobody_else() {
        let (mine, others) = (loopback(7), loopback(8));
        let (told, called) = mpsc::channel();
        let [x, y] = ["x", "y"].map(|key| mine.listen(&item(key), Waker::from(Arc::new(Told(told.clone())))));
        others.ring(mine.call(), &item("y"));
        called.recv_timeout(PATIENCE).expect("it is called");
        assert!(y.was_called() && !x.was_called());
        assert!(!y.was_called(), "once");
        drop(x);
        others.ring(mine.call(), &item("x"));
        others.ring(mine.call(), &item("y"));
        called.recv_timeout(PATIENCE).expect("it is called");
        assert!(y.was_called());
        assert_eq!(mine.waiters().by_item.len(), 1, "who left is not kept");
    }

    #[test]
    fn a_call_is_heard_by_who_comes_to_wait_right_after() {
        let (mine, others) = (loopback(7), loopback(8));
        let (told, called) = mpsc::channel();
        let waker = || Waker::from(Arc::new(Told(told.clone())));
        let y = mine.listen(&item("y"), waker());
        others.ring(mine.call(), &item("x"));
        others.ring(mine.call(), &item("y"));
        called.recv_timeout(PATIENCE).expect("it is called");
        let x = mine.listen(&item("x"), waker());
        called.try_recv().expect("it is woken at once");
        assert!(x.was_called() && y.was_called());
        drop(x);
        assert!(!mine.listen(&item("x"), waker()).was_called(), "once");
        others.ring(mine.call(), &item("x"));
        others.ring(mine.call(), &item("y"));
        called.recv_timeout(PATIENCE).expect("it is called");
        mine.forget_calls(&item("x"));
        assert!(
            !mine.listen(&item("x"), waker()).was_called(),
            "it has had its turn since"
        );
    }

    #[test]
    fn a_stranger_who_does_not_know_the_secret_wakes_nobody() {
        let mine = loopback(7);
        let (told, called) = mpsc::channel();
        let [waiting, last] = ["x", "y"].map(|key| mine.listen(&item(key), Waker::from(Arc::new(Told(told.clone())))));
        let stranger = loopback(8);
        let wrong = Call {
            secret: Secret::new(9),
            ..mine.call()
        };
        stranger.ring(wrong, &item("x"));
        let text = |text: &[u8]| drop(stranger.socket.send_to(text, mine.call().address));
        for nonsense in [
            &b""[..],
            b"memlock 1",
            b"memlock 1 7",
            b"memlock 2 7 x",
            b"\xff",
            &[b'x'; 2000],
        ] {
            text(nonsense);
        }
        // They come in the order in which they were sent: when this one has, the others have.
        stranger.ring(mine.call(), &item("y"));
        memlock_testkit::wait_until("the last call", PATIENCE, || last.was_called());
        assert!(!waiting.was_called());
        called.recv_timeout(PATIENCE).expect("it is called");
        assert!(called.try_recv().is_err(), "by one of them only");
    }

    #[test]
    fn the_socket_goes_with_the_last_who_needs_it() {
        let mine = loopback(7);
        let address = mine.call().address;
        drop(mine.listen(&item("x"), Waker::noop().clone()));
        drop(mine);
        memlock_testkit::wait_until("the port to be free", PATIENCE, || UdpSocket::bind(address).is_ok());
    }
}

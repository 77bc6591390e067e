//! Being told that a lock has become free: a UDP socket. A process that stands in line says there where it can be called;
//! who releases the lock sends a datagram to the first in line, which then looks at once.
//!
//! A hint, and no more: whoever is called looks as it would have looked later, and a datagram that is lost, or sent to a
//! process that is no more, costs nothing but the time until the next look. A datagram counts only with the secret that
//! stands in the line. Who can read that can cause no more than some looks: the line's [`WaitListView`](crate::protocol::WaitListView)
//! heeds calls in vain only now and then.
//!
//! The addresses stand in the line, too. Who can write that could have the datagrams sent to anybody: so an address that has not
//! [answered](addresses) gets few of them. A call that asks for an answer ends in a number, and the answer is that number.
//!
//! ```text
//! memlock 1 <secret> <item>              a call
//! memlock 1 <secret> <item> <number>     a call that asks for an answer
//! memlock 1 heard <number>               the answer, from the address that was called
//! ```

mod addresses;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use self::addresses::{Addresses, STRANGERS_DISTANCE, Sending};
use crate::key::ItemName;
use crate::protocol::WakeTarget;
use crate::system::background::{self, Either, either};
use crate::system::clock;
use crate::text::secret::Secret;

pub(crate) use self::addresses::is_host;

/// What a datagram begins with.
const GREETING: &str = "memlock 1";

/// What stands in an answer in the place of a secret.
const HEARD: &str = "heard";

/// The longest datagram that is understood: the greeting, the secret, the longest name of an item, and a number.
const LONGEST_CALL: usize = 512;

/// How many answers are taken in before a call. They come one for each call that asked.
const MOST_ANSWERS: usize = 16;

/// One socket, at which the waiters of one `Locks` can be called.
#[derive(Debug)]
pub(crate) struct WakeSocket {
    socket: UdpSocket,
    /// What others are called with. Calling with `socket` would wake up the background thread, to be told that it may write.
    caller: UdpSocket,
    target: WakeTarget,
    /// Who may be called.
    addresses: Mutex<Addresses>,
    waiters: Mutex<Waiters>,
    /// Whether somebody listens on the background thread.
    is_attended: AtomicBool,
    closed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiters {
    by_item: HashMap<String, Arc<WakeWaiter>>,
    /// The last lock for which nobody waited when it was called for. Somebody may be about to, whose place in line was kept.
    missed: Option<String>,
}

#[derive(Debug)]
struct WakeWaiter {
    waker: Waker,
    was_woken: AtomicBool,
}

impl WakeSocket {
    /// A socket at `address`, where others can reach it. Port 0: any that is free. Calls count that tell `secret`; `key` is told to
    /// nobody.
    pub(crate) fn open(address: SocketAddr, secret: u64, key: (u64, u64)) -> io::Result<WakeSocket> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let caller = UdpSocket::bind((address.ip(), 0))?;
        caller.set_nonblocking(true)?;
        Ok(WakeSocket {
            socket,
            caller,
            target: WakeTarget {
                address,
                secret: Secret::new(secret),
            },
            addresses: Mutex::new(Addresses::new(address.ip(), key)),
            waiters: Mutex::default(),
            is_attended: AtomicBool::new(false),
            closed: Arc::default(),
        })
    }

    /// How to call those who wait here.
    pub(crate) fn target(&self) -> WakeTarget {
        self.target
    }

    /// Calls a process that waits for the lock in `item`, now that it is `now` (on the monotonic clock), unless too much has been
    /// sent to addresses like that one. Returns whether a datagram was sent. Whether it is heard is not known.
    pub(crate) fn wake(&self, target: WakeTarget, item: &ItemName, now: Duration) -> bool {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if !addresses.is_known(target.address, now) {
            self.take_answers(&mut addresses, now);
        }
        let sending = addresses.send_to(target.address, now);
        drop(addresses);
        let question = match sending {
            Sending::Freely => String::new(),
            Sending::Asking(number) => format!(" {number:016x}"),
            Sending::Nothing => return false,
        };
        let text = format!("{GREETING} {:016x} {}{question}", target.secret.expose(), item.as_str());
        // The socket's buffer may be full, or the network down: then it is not called.
        self.caller.send_to(text.as_bytes(), target.address).is_ok()
    }

    /// Takes in what has been answered to calls.
    fn take_answers(&self, addresses: &mut Addresses, now: Duration) {
        let mut datagram = [0; LONGEST_CALL];
        for _ in 0..MOST_ANSWERS {
            match self.caller.recv_from(&mut datagram) {
                Ok((length, address)) => {
                    let words = words(datagram.get(..length).unwrap_or_default());
                    if let Some((HEARD, number)) = words
                        && let Ok(number) = u64::from_str_radix(number, 16)
                    {
                        addresses.has_answered(address, number, now);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What became of a datagram that was sent. There may be answers behind it.
                Err(_) => {}
            }
        }
    }

    /// This process has had its turn for the lock in `item`: calls that came before are about that one.
    pub(crate) fn forget_wakes(&self, item: &ItemName) {
        self.waiters().missed.take_if(|missed| missed == item.as_str());
    }

    /// From now on `waker` is woken by calls for the lock in `item`, until what is returned is dropped.
    pub(crate) fn listen(self: &Arc<WakeSocket>, item: &ItemName, waker: Waker) -> WakeListener {
        self.attend();
        let mut waiters = self.waiters();
        let missed = waiters.missed.take_if(|missed| missed == item.as_str());
        let was_woken = AtomicBool::new(missed.is_some());
        let waiter = Arc::new(WakeWaiter { waker, was_woken });
        waiters.by_item.insert(item.as_str().to_owned(), Arc::clone(&waiter));
        drop(waiters);
        if missed.is_some() {
            waiter.waker.wake_by_ref();
        }
        WakeListener {
            wake_socket: Arc::clone(self),
            item: item.clone(),
            waiter,
        }
    }

    /// Sees to it that somebody listens.
    fn attend(self: &Arc<WakeSocket>) {
        if self.is_attended.swap(true, Ordering::AcqRel) {
            return;
        }
        let (wake_socket, closed) = (Arc::downgrade(self), Arc::clone(&self.closed));
        let socket = self.socket.try_clone();
        background::spawn(async move {
            match socket.and_then(tokio::net::UdpSocket::from_std) {
                Ok(socket) => attend(&socket, &wake_socket, &closed).await,
                Err(error) => tracing::warn!(target: "memlock", %error, "nobody can be woken; waiters poll"),
            }
        });
    }

    /// What a datagram says, if it is meant for this process. Returns the number that it asks to be answered with.
    fn heard<'a>(&self, datagram: &'a [u8]) -> Option<&'a str> {
        let (secret, item) = words(datagram)?;
        if u64::from_str_radix(secret, 16) != Ok(*self.target.secret.expose()) {
            return None;
        }
        // The name of an item has no space in it.
        let (item, number) = match item.split_once(' ') {
            Some((item, number)) => (item, Some(number)),
            None => (item, None),
        };
        let mut waiters = self.waiters();
        let Some(waiter) = waiters.by_item.get(item).map(Arc::clone) else {
            waiters.missed = Some(item.to_owned());
            return number;
        };
        drop(waiters);
        waiter.was_woken.store(true, Ordering::Release);
        waiter.waker.wake_by_ref();
        number
    }

    /// Answers to a call from `address` that asked for `number`.
    fn answer(&self, address: SocketAddr, number: &str) {
        // Nothing longer is sent back: the sender's address may be forged.
        if u64::from_str_radix(number, 16).is_ok() && number.len() == 16 {
            let text = format!("{GREETING} {HEARD} {number}");
            // From the socket that was called, for the sake of what is in between. Where it does not arrive it is asked for again.
            let _ = self.socket.send_to(text.as_bytes(), address);
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first word after the greeting, and the rest.
fn words(datagram: &[u8]) -> Option<(&str, &str)> {
    let words = std::str::from_utf8(datagram).ok()?.strip_prefix(GREETING)?;
    words.trim_start().split_once(' ')
}

/// Takes calls until the wake_socket is gone.
async fn attend(socket: &tokio::net::UdpSocket, wake_socket: &Weak<WakeSocket>, closed: &Notify) {
    let mut datagram = [0; LONGEST_CALL];
    let mut answers_from: Option<Instant> = None;
    loop {
        let received = match either(socket.recv_from(&mut datagram), closed.notified()).await {
            Either::First(received) => received,
            Either::Second(()) => return,
        };
        let Some(wake_socket) = wake_socket.upgrade() else {
            return;
        };
        // An error is what became of a datagram that was sent: nobody listens at its address any more.
        if let Ok((length, caller)) = received
            && let Some(number) = wake_socket.heard(datagram.get(..length).unwrap_or_default())
        {
            // The callers have not answered either, so they get no more than others who have not.
            let now = clock::instant();
            if answers_from.is_none_or(|from| from <= now) {
                answers_from = Some(now + STRANGERS_DISTANCE);
                wake_socket.answer(caller, number);
            }
        }
    }
}

impl Drop for WakeSocket {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}

/// A waiter that can be called.
#[derive(Debug)]
pub(crate) struct WakeListener {
    wake_socket: Arc<WakeSocket>,
    item: ItemName,
    waiter: Arc<WakeWaiter>,
}

impl WakeListener {
    /// Whether it was called since [`was_woken`](Self::was_woken) was asked last.
    pub(crate) fn is_woken(&self) -> bool {
        self.waiter.was_woken.load(Ordering::Acquire)
    }

    /// Whether it was called since this was asked last.
    pub(crate) fn was_woken(&self) -> bool {
        self.waiter.was_woken.swap(false, Ordering::AcqRel)
    }
}

impl Drop for WakeListener {
    fn drop(&mut self) {
        let waiters = &mut self.wake_socket.waiters().by_item;
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
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;
    use std::task::Wake;

    use super::*;

    struct Told(mpsc::Sender<()>);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    fn loopback(secret: u64) -> Arc<WakeSocket> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Arc::new(WakeSocket::open(any, secret, (secret, secret)).expect("a socket"))
    }

    /// Calls, whatever was sent before.
    fn call(from: &WakeSocket, call: WakeTarget, key: &str) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let hours = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(from.wake(call, &item(key), Duration::from_secs(hours * 3600)));
    }

    fn item(key: &str) -> ItemName {
        ItemName::of_lock("memlock", "wake_socket", key)
    }

    #[test]
    fn a_call_wakes_who_waits_for_that_lock_and_nobody_else() {
        let (mine, others) = (loopback(7), loopback(8));
        let (told, called) = mpsc::channel();
        let [x, y] = ["x", "y"].map(|key| mine.listen(&item(key), Waker::from(Arc::new(Told(told.clone())))));
        call(&others, mine.target(), "y");
        called.recv_timeout(PATIENCE).expect("it is called");
        assert!(y.was_woken() && !x.was_woken());
        assert!(!y.was_woken(), "once");
        drop(x);
        call(&others, mine.target(), "x");
        call(&others, mine.target(), "y");
        called.recv_timeout(PATIENCE).expect("it is called");
        assert!(y.was_woken());
        assert_eq!(mine.waiters().by_item.len(), 1, "who left is not kept");
    }

    #[test]
    fn a_call_is_heard_by_who_comes_to_wait_right_after() {
        let (mine, others) = (loopback(7), loopback(8));
        let (told, called) = mpsc::channel();
        let waker = || Waker::from(Arc::new(Told(told.clone())));
        let y = mine.listen(&item("y"), waker());
        call(&others, mine.target(), "x");
        call(&others, mine.target(), "y");
        called.recv_timeout(PATIENCE).expect("it is called");
        let x = mine.listen(&item("x"), waker());
        called.try_recv().expect("it is woken at once");
        assert!(x.was_woken() && y.was_woken());
        drop(x);
        assert!(!mine.listen(&item("x"), waker()).was_woken(), "once");
        call(&others, mine.target(), "x");
        call(&others, mine.target(), "y");
        called.recv_timeout(PATIENCE).expect("it is called");
        mine.forget_wakes(&item("x"));
        assert!(
            !mine.listen(&item("x"), waker()).was_woken(),
            "it has had its turn since"
        );
    }

    #[test]
    fn a_stranger_who_does_not_know_the_secret_wakes_nobody() {
        let mine = loopback(7);
        let (told, called) = mpsc::channel();
        let [waiting, last] = ["x", "y"].map(|key| mine.listen(&item(key), Waker::from(Arc::new(Told(told.clone())))));
        let stranger = loopback(8);
        let wrong = WakeTarget {
            secret: Secret::new(9),
            ..mine.target()
        };
        call(&stranger, wrong, "x");
        let text = |text: &[u8]| drop(stranger.socket.send_to(text, mine.target().address));
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
        call(&stranger, mine.target(), "y");
        memlock_testkit::wait_until("the last call", PATIENCE, || last.was_woken());
        assert!(!waiting.was_woken());
        called.recv_timeout(PATIENCE).expect("it is called");
        assert!(called.try_recv().is_err(), "by one of them only");
    }

    #[test]
    fn the_socket_goes_with_the_last_who_needs_it() {
        let mine = loopback(7);
        let address = mine.target().address;
        drop(mine.listen(&item("x"), Waker::noop().clone()));
        drop(mine);
        memlock_testkit::wait_until("the port to be free", PATIENCE, || UdpSocket::bind(address).is_ok());
    }

    #[test]
    fn an_address_that_never_answers_gets_a_hundred_datagrams_a_second_and_one_that_does_gets_all() {
        let victim = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        victim.set_nonblocking(true).expect("a socket");
        let silent = WakeTarget {
            address: victim.local_addr().expect("bound"),
            secret: Secret::new(1),
        };
        let releaser = loopback(8);
        // Two thousand releases in a second, and nobody there who said that it wants to hear of them.
        let sent = (0..2000).filter(|release| releaser.wake(silent, &item("x"), Duration::from_micros(500 * release)));
        assert_eq!(sent.count(), 100);
        let mut datagram = [0; LONGEST_CALL];
        let received = std::iter::from_fn(|| victim.recv(&mut datagram).ok()).count();
        assert_eq!(received, 100);

        let mine = loopback(7);
        let _waiting = mine.listen(&item("x"), Waker::noop().clone());
        let now = Duration::from_secs(3600);
        assert!(
            releaser.wake(mine.target(), &item("x"), now),
            "it is asked, and called, in one"
        );
        memlock_testkit::wait_until("its answer", PATIENCE, || releaser.wake(mine.target(), &item("x"), now));
        for _ in 0..1000 {
            assert!(releaser.wake(mine.target(), &item("x"), now));
        }
        assert!(
            !releaser.wake(silent, &item("x"), now),
            "the other is as unknown as before"
        );
    }

    #[test]
    fn an_answer_that_was_not_asked_for_makes_nobody_known() {
        let forger = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        let releaser = loopback(8);
        let call = WakeTarget {
            address: forger.local_addr().expect("bound"),
            secret: Secret::new(1),
        };
        assert!(releaser.wake(call, &item("x"), Duration::ZERO));
        let to = releaser.caller.local_addr().expect("bound");
        for number in ["0000000000000000", "", "x", "memlock"] {
            let text = format!("{GREETING} {HEARD} {number}");
            forger.send_to(text.as_bytes(), to).expect("it listens");
        }
        assert!(!releaser.wake(call, &item("x"), Duration::ZERO));
        // It is another's if the forger has received what was sent.
        let mut datagram = [0; LONGEST_CALL];
        let length = forger.recv(&mut datagram).expect("a call");
        let text = std::str::from_utf8(&datagram[..length]).expect("text");
        let number = text.rsplit(' ').next().expect("a number");
        let answer = format!("{GREETING} {HEARD} {number}");
        forger.send_to(answer.as_bytes(), to).expect("it listens");
        memlock_testkit::wait_until("the answer", PATIENCE, || {
            releaser.wake(call, &item("x"), Duration::ZERO)
        });
    }
}

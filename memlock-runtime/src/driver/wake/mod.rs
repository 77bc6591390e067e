//! Wake-ups between processes, over UDP. A process in line writes the address of its wake-up socket into the wait list.
//! The process that releases the lock sends a datagram to the first process in line, which then asks the server at once.
//!
//! A wake-up is only a hint. The process that receives it asks the server, as it would have done later anyway. A
//! datagram that is lost, or sent to a process that has ended, only costs the time until that later look. A datagram
//! counts only with the secret that stands in the wait list. An attacker that can read the list can cause no more than
//! some looks: after a needless wake-up, the [`WaitListView`](crate::protocol::WaitListView) acts on further ones only
//! now and then.
//!
//! The addresses stand in the wait list, too. An attacker that can write the list could direct the datagrams to any
//! address, so an address that has not [answered](addresses) gets few of them. A wake-up that asks for an answer ends
//! with a number, and the answer repeats that number.
//!
//! ```text
//! memlock 1 <secret> <item>              a wake-up
//! memlock 1 <secret> <item> <number>     a wake-up that asks for an answer
//! memlock 1 heard <number>               the answer, from the address to which the wake-up was sent
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

/// The beginning of each datagram.
const GREETING: &str = "memlock 1";

/// The word in an answer in place of the secret.
const HEARD: &str = "heard";

/// The longest datagram that is understood: the greeting, the secret, the longest name of an item, and a number.
const LONGEST_DATAGRAM: usize = 512;

/// How many answers are read before a wake-up is sent. One comes for each wake-up that asked for it.
const MOST_ANSWERS: usize = 16;

/// The socket at which other processes wake the waiters of one `Locks`.
#[derive(Debug)]
pub(crate) struct WakeSocket {
    /// Receives wake-ups, on the background thread.
    socket: UdpSocket,
    /// Sends wake-ups. Sending on `socket` would wake the background thread, only to tell it that the socket is
    /// writable.
    sender: UdpSocket,
    target: WakeTarget,
    /// The addresses to which wake-ups may be sent.
    addresses: Mutex<Addresses>,
    waiters: Mutex<Waiters>,
    /// Whether a background task receives wake-ups.
    is_receiving: AtomicBool,
    closed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiters {
    by_item: HashMap<String, Arc<WakeWaiter>>,
    /// The item of the last wake-up for a lock without a waiter. A caller may be about to wait for it, if this process
    /// has kept a place in line.
    missed: Option<String>,
}

#[derive(Debug)]
struct WakeWaiter {
    waker: Waker,
    was_woken: AtomicBool,
}

impl WakeSocket {
    /// Opens a socket at `address`, where other processes can reach it. Port 0 means any free port. Only wake-ups with
    /// `secret` count. `key` must be known to no other process.
    pub(crate) fn open(address: SocketAddr, secret: u64, key: (u64, u64)) -> io::Result<WakeSocket> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let sender = UdpSocket::bind((address.ip(), 0))?;
        sender.set_nonblocking(true)?;
        Ok(WakeSocket {
            socket,
            sender,
            target: WakeTarget {
                address,
                secret: Secret::new(secret),
            },
            addresses: Mutex::new(Addresses::new(address.ip(), key)),
            waiters: Mutex::default(),
            is_receiving: AtomicBool::new(false),
            closed: Arc::default(),
        })
    }

    /// The address and the secret with which other processes wake the waiters of this one.
    pub(crate) fn target(&self) -> WakeTarget {
        self.target
    }

    /// Wakes a process that waits for the lock in `item`, at `now` on the monotonic clock, unless too much has been
    /// sent to addresses like that one. Returns whether a datagram was sent, which may still be lost.
    pub(crate) fn wake(&self, target: WakeTarget, item: &ItemName, now: Duration) -> bool {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if !addresses.is_known(target.address, now) {
            self.read_answers(&mut addresses, now);
        }
        let sending = addresses.send_to(target.address, now);
        drop(addresses);
        let question = match sending {
            Sending::Freely => String::new(),
            Sending::Asking(number) => format!(" {number:016x}"),
            Sending::Nothing => return false,
        };
        let text = format!("{GREETING} {:016x} {}{question}", target.secret.expose(), item.as_str());
        // If the socket's buffer is full, or the network is down, the process is not woken.
        self.sender.send_to(text.as_bytes(), target.address).is_ok()
    }

    /// Reads the answers to wake-ups that have arrived.
    fn read_answers(&self, addresses: &mut Addresses, now: Duration) {
        let mut datagram = [0; LONGEST_DATAGRAM];
        for _ in 0..MOST_ANSWERS {
            match self.sender.recv_from(&mut datagram) {
                Ok((length, address)) => {
                    let words = words(datagram.get(..length).unwrap_or_default());
                    if let Some((HEARD, number)) = words
                        && let Ok(number) = u64::from_str_radix(number, 16)
                    {
                        addresses.record_answer(address, number, now);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The error of a datagram that was sent before. Answers may follow.
                Err(_) => {}
            }
        }
    }

    /// Discards earlier wake-ups for the lock in `item`: they were for a turn that this process has had since.
    pub(crate) fn forget_wakes(&self, item: &ItemName) {
        self.waiters().missed.take_if(|missed| missed == item.as_str());
    }

    /// Makes wake-ups for the lock in `item` wake `waker`, until the returned listener is dropped.
    pub(crate) fn listen(self: &Arc<WakeSocket>, item: &ItemName, waker: Waker) -> WakeListener {
        self.start_receiving();
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

    /// Starts the task that receives wake-ups, unless it has been started.
    fn start_receiving(self: &Arc<WakeSocket>) {
        if self.is_receiving.swap(true, Ordering::AcqRel) {
            return;
        }
        let (wake_socket, closed) = (Arc::downgrade(self), Arc::clone(&self.closed));
        let socket = self.socket.try_clone();
        background::spawn(async move {
            match socket.and_then(tokio::net::UdpSocket::from_std) {
                Ok(socket) => receive(&socket, &wake_socket, &closed).await,
                Err(error) => {
                    tracing::warn!(target: "memlock", %error, "no socket for wake-ups; waiters poll instead");
                }
            }
        });
    }

    /// Wakes the waiter that `datagram` names, if the secret in it is right. Returns the number that it asks for as an
    /// answer.
    fn handle<'a>(&self, datagram: &'a [u8]) -> Option<&'a str> {
        let (secret, item) = words(datagram)?;
        if u64::from_str_radix(secret, 16) != Ok(*self.target.secret.expose()) {
            return None;
        }
        // An item's name has no spaces.
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

    /// Answers a wake-up from `address` that asked for `number`.
    fn answer(&self, address: SocketAddr, number: &str) {
        // The answer is never longer than the wake-up, since the sender's address may be forged.
        if u64::from_str_radix(number, 16).is_ok() && number.len() == 16 {
            let text = format!("{GREETING} {HEARD} {number}");
            // From the socket that received the wake-up, so that firewalls in between let it pass. A lost answer is
            // asked for again.
            let _ = self.socket.send_to(text.as_bytes(), address);
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first word after the greeting, and the rest of the datagram.
fn words(datagram: &[u8]) -> Option<(&str, &str)> {
    let words = std::str::from_utf8(datagram).ok()?.strip_prefix(GREETING)?;
    words.trim_start().split_once(' ')
}

/// Receives wake-ups until `wake_socket` is dropped.
async fn receive(socket: &tokio::net::UdpSocket, wake_socket: &Weak<WakeSocket>, closed: &Notify) {
    let mut datagram = [0; LONGEST_DATAGRAM];
    let mut answers_from: Option<Instant> = None;
    loop {
        let received = match either(socket.recv_from(&mut datagram), closed.notified()).await {
            Either::First(received) => received,
            Either::Second(()) => return,
        };
        let Some(wake_socket) = wake_socket.upgrade() else {
            return;
        };
        // An error is about an answer that was sent before: no process receives at its address any more.
        if let Ok((length, sender)) = received
            && let Some(number) = wake_socket.handle(datagram.get(..length).unwrap_or_default())
        {
            // The sender of a wake-up has not proved its address either, so it gets no more datagrams than an unknown
            // address.
            let now = clock::instant();
            if answers_from.is_none_or(|from| from <= now) {
                answers_from = Some(now + STRANGERS_DISTANCE);
                wake_socket.answer(sender, number);
            }
        }
    }
}

impl Drop for WakeSocket {
    fn drop(&mut self) {
        self.closed.notify_one();
    }
}

/// A waiter that other processes can wake.
#[derive(Debug)]
pub(crate) struct WakeListener {
    wake_socket: Arc<WakeSocket>,
    item: ItemName,
    waiter: Arc<WakeWaiter>,
}

impl WakeListener {
    /// Whether it was woken since the last call of [`was_woken`](Self::was_woken).
    pub(crate) fn is_woken(&self) -> bool {
        self.waiter.was_woken.load(Ordering::Acquire)
    }

    /// Whether it was woken since the last call of this.
    pub(crate) fn was_woken(&self) -> bool {
        self.waiter.was_woken.swap(false, Ordering::AcqRel)
    }
}

impl Drop for WakeListener {
    fn drop(&mut self) {
        let waiters = &mut self.wake_socket.waiters().by_item;
        // The next waiter for this lock may have replaced this one already.
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

    /// Sends a message for each wake-up.
    struct Report(mpsc::Sender<()>);

    impl Wake for Report {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    fn loopback(secret: u64) -> Arc<WakeSocket> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Arc::new(WakeSocket::open(any, secret, (secret, secret)).expect("a socket"))
    }

    /// Wakes `target`, whatever was sent before.
    fn wake(from: &WakeSocket, target: WakeTarget, key: &str) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let hours = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(from.wake(target, &item(key), Duration::from_secs(hours * 3600)));
    }

    fn item(key: &str) -> ItemName {
        ItemName::of_lock("memlock", "wake_socket", key)
    }

    #[test]
    fn a_wake_up_wakes_only_the_waiter_for_its_lock() {
        let (mine, others) = (loopback(7), loopback(8));
        let (report, reports) = mpsc::channel();
        let [x, y] = ["x", "y"].map(|key| mine.listen(&item(key), Waker::from(Arc::new(Report(report.clone())))));
        wake(&others, mine.target(), "y");
        reports.recv_timeout(PATIENCE).expect("it is woken");
        assert!(y.was_woken() && !x.was_woken());
        assert!(!y.was_woken(), "once");
        drop(x);
        wake(&others, mine.target(), "x");
        wake(&others, mine.target(), "y");
        reports.recv_timeout(PATIENCE).expect("it is woken");
        assert!(y.was_woken());
        assert_eq!(
            mine.waiters().by_item.len(),
            1,
            "a listener that was dropped is not kept"
        );
    }

    #[test]
    fn a_wake_up_counts_for_a_waiter_that_comes_right_after_it() {
        let (mine, others) = (loopback(7), loopback(8));
        let (report, reports) = mpsc::channel();
        let waker = || Waker::from(Arc::new(Report(report.clone())));
        let y = mine.listen(&item("y"), waker());
        wake(&others, mine.target(), "x");
        wake(&others, mine.target(), "y");
        reports.recv_timeout(PATIENCE).expect("it is woken");
        let x = mine.listen(&item("x"), waker());
        reports.try_recv().expect("it is woken at once");
        assert!(x.was_woken() && y.was_woken());
        drop(x);
        assert!(!mine.listen(&item("x"), waker()).was_woken(), "once");
        wake(&others, mine.target(), "x");
        wake(&others, mine.target(), "y");
        reports.recv_timeout(PATIENCE).expect("it is woken");
        mine.forget_wakes(&item("x"));
        assert!(
            !mine.listen(&item("x"), waker()).was_woken(),
            "it has had its turn since"
        );
    }

    #[test]
    fn a_datagram_without_the_secret_wakes_no_waiter() {
        let mine = loopback(7);
        let (report, reports) = mpsc::channel();
        let [waiting, last] =
            ["x", "y"].map(|key| mine.listen(&item(key), Waker::from(Arc::new(Report(report.clone())))));
        let stranger = loopback(8);
        let wrong = WakeTarget {
            secret: Secret::new(9),
            ..mine.target()
        };
        wake(&stranger, wrong, "x");
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
        // Datagrams arrive in the order in which they were sent: when this one has arrived, the others have.
        wake(&stranger, mine.target(), "y");
        memlock_testkit::wait_until("the last wake-up", PATIENCE, || last.was_woken());
        assert!(!waiting.was_woken());
        reports.recv_timeout(PATIENCE).expect("it is woken");
        assert!(
            reports.try_recv().is_err(),
            "one of them woke a waiter, the others none"
        );
    }

    #[test]
    fn the_socket_closes_with_its_last_user() {
        let mine = loopback(7);
        let address = mine.target().address;
        drop(mine.listen(&item("x"), Waker::noop().clone()));
        drop(mine);
        memlock_testkit::wait_until("the port to be free", PATIENCE, || UdpSocket::bind(address).is_ok());
    }

    #[test]
    fn an_address_gets_a_hundred_datagrams_a_second_until_it_answers_and_then_all() {
        let victim = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        victim.set_nonblocking(true).expect("a socket");
        let silent = WakeTarget {
            address: victim.local_addr().expect("bound"),
            secret: Secret::new(1),
        };
        let releaser = loopback(8);
        // Two thousand releases in a second, for an address that has not answered.
        let sent = (0..2000).filter(|release| releaser.wake(silent, &item("x"), Duration::from_micros(500 * release)));
        assert_eq!(sent.count(), 100);
        let mut datagram = [0; LONGEST_DATAGRAM];
        let received = std::iter::from_fn(|| victim.recv(&mut datagram).ok()).count();
        assert_eq!(received, 100);

        let mine = loopback(7);
        let _waiting = mine.listen(&item("x"), Waker::noop().clone());
        let now = Duration::from_secs(3600);
        assert!(
            releaser.wake(mine.target(), &item("x"), now),
            "one datagram wakes it and asks for an answer"
        );
        memlock_testkit::wait_until("its answer", PATIENCE, || releaser.wake(mine.target(), &item("x"), now));
        for _ in 0..1000 {
            assert!(releaser.wake(mine.target(), &item("x"), now));
        }
        assert!(
            !releaser.wake(silent, &item("x"), now),
            "the other address is as unknown as before"
        );
    }

    #[test]
    fn an_answer_with_the_wrong_number_does_not_make_an_address_known() {
        let forger = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        let releaser = loopback(8);
        let target = WakeTarget {
            address: forger.local_addr().expect("bound"),
            secret: Secret::new(1),
        };
        assert!(releaser.wake(target, &item("x"), Duration::ZERO));
        let to = releaser.sender.local_addr().expect("bound");
        for number in ["0000000000000000", "", "x", "memlock"] {
            let text = format!("{GREETING} {HEARD} {number}");
            forger.send_to(text.as_bytes(), to).expect("it listens");
        }
        assert!(!releaser.wake(target, &item("x"), Duration::ZERO));
        // If the forger has received the datagram, the address is its own.
        let mut datagram = [0; LONGEST_DATAGRAM];
        let length = forger.recv(&mut datagram).expect("a wake-up");
        let text = std::str::from_utf8(&datagram[..length]).expect("text");
        let number = text.rsplit(' ').next().expect("a number");
        let answer = format!("{GREETING} {HEARD} {number}");
        forger.send_to(answer.as_bytes(), to).expect("it listens");
        memlock_testkit::wait_until("the answer", PATIENCE, || {
            releaser.wake(target, &item("x"), Duration::ZERO)
        });
    }
}

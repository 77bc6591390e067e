//! Instances of the service as real processes, against a real memcached.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs};

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use memlock_testkit::{ITEMS_THAT_STAY, Memcached, wait_until};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::Result;
use crate::box_office::BoxOffice;
use crate::customers::{self, Answer, CUSTOMERS, Counter, EVENTS, REQUESTS_PER_CUSTOMER, SEATS};
use crate::report::Run;
use crate::server::{self, Instance};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Payment comes at once; or late, but within the lease; or not before the test is over.
const QUICK: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_secs(2);
const NEVER: Duration = Duration::from_secs(3600);

/// What the handler's attribute says.
const TIMEOUT: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_secs(2);
/// A caller that comes after the death of a holder watches its lease from then on. The lease is longer than the timeout by
/// a twentieth of a second, and by the allowance for the drift of clocks. The caller looks at most a twentieth of a second
/// after that. The rest is for a busy machine.
const INHERITED_WITHIN: Duration = Duration::from_millis(5500);

#[test]
#[ignore = "a role in other tests, which start it as a process of its own"]
fn serves() {
    let Some(parent) = server::role() else { return };
    server::run(parent).expect("it serves, and leaves no lock behind");
}

#[test]
fn three_instances_sell_no_seat_twice_and_answer_every_request() {
    let stage = Stage::set("exclusion");
    let instances = [(); 3].map(|()| stage.start(QUICK));
    let begun = Instant::now();
    let answers = stage
        .runtime
        .block_on(customers::come(&instances.each_ref().map(|instance| instance.address)))
        .expect("every request is answered");
    let run = Run {
        instances: instances.len(),
        answers,
        elapsed: begun.elapsed(),
        booked: stage.booked(),
    };
    assert_eq!(run.answers.len(), (CUSTOMERS * REQUESTS_PER_CUSTOMER) as usize);
    assert_eq!(run.with_other_status(), 0);
    assert_eq!((run.sold_again(), run.oversold()), (0, 0));
    assert_eq!(run.promised(|_| true).len(), run.booked as usize);
    assert!(run.booked > 0 && run.booked <= EVENTS * SEATS, "{}", run.booked);
    for instance in 0..run.instances {
        let here = run.promised(|answer| answer.instance == instance);
        assert!(!here.is_empty(), "instance {instance} never had its turn");
    }
    for instance in instances {
        instance.stop().expect("it ends well");
    }
    stage.wait_until_nothing_is_locked();
}

#[test]
fn an_instance_that_is_killed_in_its_handler_delays_the_others_by_its_lease() {
    let stage = Stage::set("death");
    let doomed = stage.start(NEVER);
    let others = [stage.start(QUICK), stage.start(QUICK)];

    let asked = Instant::now();
    let unlucky = stage.customer(doomed.address);
    stage.wait_until_a_customer_pays();
    let killed = Instant::now();
    doomed.kill();
    let heirs = others
        .each_ref()
        .map(|other| [(); 4].map(|()| stage.customer(other.address)));

    let unlucky = stage.runtime.block_on(unlucky).expect("no panic");
    assert!(unlucky.is_err(), "a dead instance has answered");
    let mut seats = Vec::new();
    for heir in heirs.into_iter().flatten() {
        let (answer, at) = stage.runtime.block_on(heir).expect("no panic").expect("it is answered");
        let (since_asked, since_killed) = (at - asked, at - killed);
        println!("seat {:?} sold {since_killed:.1?} after the kill", answer.seat);
        assert!(
            since_asked >= TIMEOUT,
            "sold during the dead instance's lease: {since_asked:?}"
        );
        assert!(since_killed <= INHERITED_WITHIN, "{since_killed:?}");
        seats.extend(answer.seat);
    }
    seats.sort_unstable();
    assert_eq!(seats, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(stage.booked(), 8);
    for other in others {
        other.stop().expect("it ends well");
    }
}

/// The attribute cannot keep a process that was asleep from writing. The fencing token does.
#[test]
fn an_instance_that_stood_still_past_its_lease_sells_nothing() {
    let stage = Stage::set("fencing");
    let (sleeper, other) = (stage.start(SLOW), stage.start(QUICK));
    let mut counter = stage.counter(sleeper.address);
    let late = stage.runtime.spawn(async move { counter.post(0).await });
    stage.wait_until_a_customer_pays();
    sleeper.pause();
    let sold = stage.runtime.block_on(stage.customer(other.address));
    let (answer, _) = sold.expect("no panic").expect("it is answered");
    assert_eq!(answer.seat, Some(1));
    sleeper.resume();
    let late = stage.runtime.block_on(late).expect("no panic").expect("it is answered");
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE, "{:?}", late.body());
    assert_eq!(stage.booked(), 1);
    sleeper.stop().expect("it ends well");
}

#[test]
fn an_instance_that_is_terminated_leaves_no_lock_of_a_customer_who_hung_up() {
    let stage = Stage::set("hung-up");
    let instance = stage.start(NEVER);
    let impatient = stage.customer(instance.address);
    stage.wait_until_a_customer_pays();
    impatient.abort();
    assert!(
        stage
            .runtime
            .block_on(impatient)
            .is_err_and(|error| error.is_cancelled())
    );
    let hung_up = Instant::now();
    instance.terminate().expect("it ends well");
    stage.wait_until_nothing_is_locked();
    assert!(hung_up.elapsed() < TIMEOUT, "the lock was left to the end of its lease");
    assert_eq!(stage.booked(), 0);
}

#[test]
fn a_busy_lock_gives_a_retry_after_header_and_a_dead_server_none() {
    let stage = Stage::set("refusals");
    let (slow, quick) = (stage.start(NEVER), stage.start(QUICK));
    let paying = stage.customer(slow.address);
    stage.wait_until_a_customer_pays();

    let mut counter = stage.counter(quick.address);
    let asked = Instant::now();
    let busy = stage.runtime.block_on(counter.post(0)).expect("it is answered");
    assert!(asked.elapsed() >= WAIT);
    assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(busy.headers()[RETRY_AFTER], "1");
    paying.abort();

    stage.memcached.kill();
    let closed = stage.runtime.block_on(counter.post(0)).expect("it is answered");
    assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!closed.headers().contains_key(RETRY_AFTER));
    assert_eq!(stage.booked(), 0);
}

/// A memcached, an empty file, and a runtime for the customers.
struct Stage {
    runtime: Runtime,
    memcached: Memcached,
    folder: PathBuf,
    box_office: BoxOffice,
}

impl Stage {
    fn set(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("memlock-tickets-{name}-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder for the file");
        let runtime = Runtime::new().expect("threads");
        let box_office = runtime.block_on(BoxOffice::create(&folder.join("sqlite"), EVENTS, SEATS));
        Self {
            box_office: box_office.expect("a new file"),
            memcached: Memcached::start(),
            runtime,
            folder,
        }
    }

    /// An instance that locks.
    fn start(&self, payment: Duration) -> Instance {
        let program = Instance::program().test("tests::serves");
        let file = self.folder.join("sqlite");
        Instance::start(program, &file, payment, Some(&self.memcached.address())).expect("it starts")
    }

    fn counter(&self, address: SocketAddr) -> Counter {
        self.runtime.block_on(Counter::open(0, address)).expect("it listens")
    }

    /// A customer that asks for event 0 until there is a ticket: the answer, and when it came.
    fn customer(&self, address: SocketAddr) -> JoinHandle<Result<(Answer, Instant)>> {
        let mut counter = self.counter(address);
        self.runtime.spawn(async move {
            loop {
                let answer = counter.ask(0).await?;
                if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                    return Ok((answer, Instant::now()));
                }
            }
        })
    }

    /// Waits until a handler has read the stock of event 0, under the lock.
    fn wait_until_a_customer_pays(&self) {
        wait_until("a handler to be at its payment", PATIENCE, || {
            let seen = self.runtime.block_on(self.box_office.has_seen_a_token("0"));
            seen.expect("the file can be read")
        });
    }

    fn wait_until_nothing_is_locked(&self) {
        wait_until("no lock to be left on the server", PATIENCE, || {
            self.memcached.stat("curr_items") == Some(ITEMS_THAT_STAY)
        });
    }

    fn booked(&self) -> u32 {
        self.runtime
            .block_on(self.box_office.total())
            .expect("the file can be read")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A folder that stays in the temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

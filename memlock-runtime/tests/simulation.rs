//! The protocol's machines in a simulated world. Time is virtual. The server's clock ticks in whole seconds and stands
//! still now and then, and has lost that time in some of the runs. The network delays and loses requests, and may execute a request long after its sender has given
//! up on it. Holders are stopped, or suspended with their machines. Clocks run fast or slow. Every run has a seed, and
//! can be repeated: `MEMLOCK_SEED=… cargo test -p memlock-runtime --test simulation`.
//!
//! Every event is followed by two checks: at most one holder believes in the lock (S1), and tokens strictly rise (S2).
//!
//! Each contender is a process. Now and then its lock is handed over inside it, to a caller with another timeout. Or it
//! is reserved for a while, and then claimed by the caller for which it was reserved, or not. All contenders use the
//! wait list. Other tests show what the list is good for; here it must do no harm.

#![allow(clippy::unchecked_time_subtraction, reason = "a test may panic")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use memlock_runtime::__internals::{
    Acquire, Batch, Cas, Exchanged, Grant, Handed, Input, Instance, ItemName, Items, Leave, Member, Nonce, Now,
    Outcome, Output, Release, Released, Renew, Renewed, Replies, Reply, Request, ServerClock, Spec, Unanswered,
    WaitListView, Watch,
};
use memlock_runtime::Token;

const CONTENDERS: usize = 4;
const START: u64 = 1_800_000_000;
const LATEST: Duration = Duration::from_secs(2 * 60);

/// How long a contender waits for a reply before it counts it as lost.
const PATIENCE: Duration = Duration::from_millis(300);

/// What can go wrong, and how often out of a thousand exchanges.
#[derive(Debug, Clone, Copy)]
struct Weather {
    reply_lost: u32,
    request_lost: u32,
    executed_late: u32,
    data_late: u32,
    holder_stopped: u32,
    holder_suspended: u32,
    heard_late: u32,
    server_stopped: u32,
    /// Its machine is paused, and its clock goes on from where it stood.
    server_paused: u32,
    renumbered: u32,
    flushed: bool,
    restarts: bool,
    clocks: ClockErrors,
}

/// By how many parts in a million the clocks of a process may be fast or slow.
#[derive(Debug, Clone, Copy)]
struct ClockErrors {
    /// Those that are slewed.
    slewed: u32,
    /// The one that is not.
    raw: u32,
}

const FINE: Weather = Weather {
    reply_lost: 0,
    request_lost: 0,
    executed_late: 0,
    data_late: 0,
    holder_stopped: 0,
    holder_suspended: 0,
    heard_late: 0,
    server_stopped: 0,
    server_paused: 0,
    renumbered: 0,
    flushed: false,
    restarts: false,
    clocks: ClockErrors { slewed: 0, raw: 0 },
};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The line of a store reaches the server, and not yet its data.
    Draw { exchange: usize, index: usize },
    /// One command of an exchange reaches the server.
    Execute { exchange: usize, index: usize },
    /// The contender receives the outcome of its exchange, or stops waiting for it.
    Hear { contender: usize, exchange: usize },
    /// A pause, a body or a stop is over.
    Wake { contender: usize, round: u64 },
    /// The server loses its state.
    Calamity,
}

struct Exchange {
    batch: Batch,
    replies: Replies,
    sent: Now,
    instance: Option<Instance>,
    only_on: Option<Instance>,
    lost_reply: bool,
    /// The CAS that a store has drawn whose data has not arrived yet.
    drawn: Option<Cas>,
}

enum Doing {
    Resting,
    Acquiring(Acquire),
    Holding(Grant),
    Renewing(Renew),
    /// The lease is being shortened, for a retry.
    Reserving(Renew),
    Reserved(Grant),
    /// The retry has come.
    Claiming(Renew),
    Releasing(Release),
    Leaving(Leave),
}

/// The clocks of a process.
struct Clocks {
    /// The rate of those that are slewed.
    slewed: f64,
    /// The rate of the one that is not.
    raw: f64,
    /// For how long the machine has been suspended, apart from the last time.
    suspended: Duration,
    /// When it was suspended for the last time, and when that ends or has ended.
    last_suspension: (Duration, Duration),
}

impl Clocks {
    fn at(&self, now: Duration) -> Now {
        let (from, until) = self.last_suspension;
        let suspended = self.suspended + now.min(until).saturating_sub(from);
        let awake = now - suspended;
        let instant = awake.mul_f64(self.slewed);
        Now {
            instant,
            raw: awake.mul_f64(self.raw),
            boot: instant + suspended,
        }
    }

    fn suspend(&mut self, from: Duration, until: Duration) {
        self.suspended += self.last_suspension.1 - self.last_suspension.0;
        self.last_suspension = (from, until);
    }
}

struct Contender {
    clocks: Clocks,
    doing: Doing,
    /// The timeout of the caller in this process that holds the lock, or asks for it.
    timeout: Duration,
    round: u64,
    clock: ServerClock,
    clock_of: Option<Instance>,
    watch: Option<Watch>,
    wait_list: Option<Box<WaitListView>>,
    /// The nonces of writes with an unknown outcome. They are cleaned up before the next attempt, as the background
    /// does.
    leftovers: Vec<Nonce>,
    cleaning: Option<Nonce>,
    believes: Option<Grant>,
}

struct World {
    random: fastrand::Rng,
    weather: Weather,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    sequence: u64,
    items: Items,
    item: ItemName,
    lease: Duration,
    /// Until when the server stands still, and its clock, too.
    stopped_until: Duration,
    /// How much time its clock has lost.
    lost: Duration,
    /// The second that its workers see. It follows the real one late.
    second: u64,
    last_tick: Duration,
    exchanges: Vec<Exchange>,
    contenders: Vec<Contender>,
    nonces: u128,
    last_token: Option<Token>,
    grants: u64,
    state_was_lost_at: Option<Duration>,
    outcomes: HashMap<&'static str, u64>,
}

/// The contender as a member of the wait list.
fn member(contender: usize) -> Member {
    let process = contender as u64 + 1;
    Member::new(process, None)
}

/// Whether it is a store of the lock: its line may arrive before its data.
fn has_data(request: &Request) -> bool {
    matches!(request, Request::Add { .. } | Request::Replace { .. })
}

impl World {
    fn new(seed: u64, weather: Weather, lease: Duration) -> World {
        let item = ItemName::of_lock("memlock", "simulation", "x");
        let mut world = World {
            random: fastrand::Rng::with_seed(seed),
            weather,
            now: Duration::from_secs(1000),
            events: BinaryHeap::new(),
            sequence: 0,
            items: Items::new(Instance { start: START, pid: 1 }),
            item,
            lease,
            stopped_until: Duration::ZERO,
            lost: Duration::ZERO,
            second: START + 10,
            last_tick: Duration::from_secs(1000),
            exchanges: Vec::new(),
            contenders: Vec::new(),
            nonces: 0,
            last_token: None,
            grants: 0,
            state_was_lost_at: None,
            outcomes: HashMap::new(),
        };
        for contender in 0..CONTENDERS {
            let clocks = Clocks {
                slewed: world.rate(weather.clocks.slewed),
                raw: world.rate(weather.clocks.raw),
                suspended: Duration::ZERO,
                last_suspension: (Duration::ZERO, Duration::ZERO),
            };
            world.contenders.push(Contender {
                clocks,
                doing: Doing::Resting,
                timeout: lease,
                round: 0,
                clock: ServerClock::default(),
                clock_of: None,
                watch: None,
                wait_list: None,
                leftovers: Vec::new(),
                cleaning: None,
                believes: None,
            });
            world.wake_in(contender, Duration::from_millis(contender as u64));
        }
        if weather.flushed || weather.restarts {
            let when = world.now + Duration::from_secs(30);
            world.schedule(when, Event::Calamity);
        }
        world
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.random.u32(0..1000) < per_mille
    }

    /// The rate of a clock that may be off by `error` parts in a million, either way, or right.
    fn rate(&mut self, error: u32) -> f64 {
        let sign = [-1.0, 0.0, 1.0][self.random.usize(0..3)];
        1.0 + sign * f64::from(error) / 1e6
    }

    /// What the clocks of `contender` show now.
    fn at(&self, contender: usize) -> Now {
        self.contenders[contender].clocks.at(self.now)
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_micros(self.random.u64(range.start * 1000..range.end * 1000))
    }

    fn schedule(&mut self, when: Duration, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((when, self.sequence, event)));
    }

    fn wake_in(&mut self, contender: usize, after: Duration) {
        let round = self.contenders[contender].round;
        self.schedule(self.now + after, Event::Wake { contender, round });
    }

    fn fresh(&mut self, contender: usize) -> Nonce {
        self.nonces += 1;
        Nonce(u128::from(member(contender).process) << 64 | self.nonces)
    }

    fn spec(&self, contender: usize) -> Spec {
        let interval = Duration::from_millis(50);
        Spec {
            server: 0,
            item: self.item.clone(),
            label: format!("contender {contender}").into(),
            timeout: self.contenders[contender].timeout,
            interval,
            wait: None,
        }
    }

    /// Updates the second that the server's workers see. A timer ticks once a second, up to 0.1 s late, and never while
    /// the server is stopped.
    fn tick(&mut self) {
        let resumed = self.stopped_until.max(self.last_tick);
        while self.now >= resumed.max(self.last_tick) + Duration::from_secs(1) {
            self.last_tick += Duration::from_secs(1);
        }
        let real = START + 10 + (self.last_tick - self.lost - Duration::from_secs(1000)).as_secs();
        self.second = self.second.max(real);
    }

    fn run(mut self) -> World {
        while let Some(Reverse((when, _, event))) = self.events.pop() {
            if when > LATEST + Duration::from_secs(1000) {
                break;
            }
            self.now = when;
            match event {
                Event::Draw { exchange, index } => self.draw(exchange, index),
                Event::Execute { exchange, index } => self.execute(exchange, index),
                Event::Hear { contender, exchange } => self.hear(contender, exchange),
                Event::Wake { contender, round } if self.contenders[contender].round == round => self.wake(contender),
                Event::Wake { .. } => {}
                Event::Calamity => self.calamity(),
            }
            self.check();
        }
        self
    }

    fn calamity(&mut self) {
        self.state_was_lost_at = Some(self.now);
        if self.weather.restarts {
            let start = self.second + 1;
            self.items.restart(Instance { start, pid: 2 });
            self.second = start + 4;
        } else {
            self.items.flush();
        }
    }

    fn draw(&mut self, exchange: usize, index: usize) {
        if self.now < self.stopped_until {
            // Before its data, however late both of them are.
            let when = self.stopped_until;
            self.schedule(when, Event::Draw { exchange, index });
            return;
        }
        let instance = self.items.instance();
        let exchange = &mut self.exchanges[exchange];
        if *exchange.instance.get_or_insert(instance) == instance {
            exchange.drawn = Some(self.items.draw());
        }
    }

    fn execute(&mut self, exchange: usize, index: usize) {
        if self.now < self.stopped_until {
            let when = self.stopped_until + Duration::from_micros(index as u64 + 1);
            self.schedule(when, Event::Execute { exchange, index });
            return;
        }
        // After a stop the workers run before the timer does, on a clock that stood still.
        let just_resumed = self.now < self.stopped_until + Duration::from_millis(5);
        if !just_resumed {
            self.tick();
        }
        if self.chance(self.weather.renumbered) {
            self.items.renumber(&self.item.clone());
        }
        let instance = self.items.instance();
        let pinned = self.exchanges[exchange].instance.get_or_insert(instance);
        if *pinned != instance || self.exchanges[exchange].only_on.is_some_and(|only| only != instance) {
            // The connection led to a server that is gone.
            return;
        }
        let exchange = &mut self.exchanges[exchange];
        let request = &exchange.batch[index];
        let drawn = has_data(request).then(|| exchange.drawn.take()).flatten();
        let reply = self.items.apply_drawn(self.second, &self.item, request, drawn);
        if exchange.replies.len() == index {
            exchange.replies.push(reply);
        }
    }

    fn send(&mut self, contender: usize, batch: Batch, only_on: Option<Instance>) {
        let exchange = self.exchanges.len();
        let lost_reply = self.chance(self.weather.reply_lost);
        let lost_request = self.chance(self.weather.request_lost);
        let late = self.chance(self.weather.executed_late);
        let mut when = self.now + self.millis(0..2);
        if late {
            when += self.millis(200..3000);
        }
        for index in 0..batch.len() {
            // The commands of one batch keep their order, but others come in between.
            when += Duration::from_micros(self.random.u64(1..300));
            if has_data(&batch[index]) && !lost_request && self.chance(self.weather.data_late) {
                self.schedule(when, Event::Draw { exchange, index });
                when += self.millis(1..60);
            }
            if !lost_request {
                self.schedule(when, Event::Execute { exchange, index });
            }
        }
        let replies = Replies::new();
        self.exchanges.push(Exchange {
            batch,
            replies,
            sent: self.at(contender),
            instance: None,
            only_on,
            lost_reply,
            drawn: None,
        });
        let heard = if lost_reply || lost_request || late || when < self.stopped_until {
            self.now + PATIENCE
        } else {
            when + self.millis(0..2)
        };
        // The process may be stopped between the reply's arrival and reading it.
        let stopped = if self.chance(self.weather.heard_late) {
            self.millis(100..20_000)
        } else {
            Duration::ZERO
        };
        self.schedule(heard + stopped, Event::Hear { contender, exchange });
    }

    fn hear(&mut self, contender: usize, exchange: usize) {
        let heard = &self.exchanges[exchange];
        let instance = heard.instance;
        let is_whole = heard.replies.len() == heard.batch.len() && !heard.lost_reply;
        let replies = if heard.lost_reply {
            Replies::new()
        } else {
            heard.replies.clone()
        };
        let other = heard
            .only_on
            .is_some_and(|only| instance.is_some_and(|instance| instance != only));
        let unanswered = match (is_whole, other) {
            (true, _) => None,
            (false, true) => Some(Unanswered::OtherInstance),
            (false, false) => Some(Unanswered::Late),
        };
        let sent = heard.sent;
        let now = self.at(contender);
        let state = &mut self.contenders[contender];
        if state.clock_of != instance && instance.is_some() {
            state.clock_of = instance;
            state.clock = ServerClock::default();
        }
        if let Some(Reply::Clock(second)) = replies.first() {
            state.clock.observe(*second, sent, now);
        }
        let best = state.clock.best(now);
        self.step(
            contender,
            Input::Exchanged(Exchanged {
                instance,
                replies,
                unanswered,
                sent,
                best,
                ..Exchanged::default()
            }),
        );
    }

    fn wake(&mut self, contender: usize) {
        match std::mem::replace(&mut self.contenders[contender].doing, Doing::Resting) {
            Doing::Resting => {
                let release = self.contenders[contender].leftovers.last().copied();
                self.contenders[contender].cleaning = release;
                let watch = self.contenders[contender].watch;
                self.contenders[contender].timeout = self.lease;
                self.contenders[contender].doing = if let Some(nonce) = release {
                    Doing::Releasing(Release::of_nonce(self.item.clone(), nonce))
                } else {
                    let wait_list = self.contenders[contender].wait_list.take();
                    let machine = Acquire::new(self.spec(contender), watch, false);
                    Doing::Acquiring(machine.with_wait_list(member(contender), wait_list))
                };
                self.step(contender, Input::Start);
            }
            // Hands over to another caller of this process, which may have another timeout.
            Doing::Holding(grant) if !grant.deadline.has_passed(self.at(contender)) && self.chance(400) => {
                let timeout = self.lease / self.random.u32(1..4);
                if !grant.may_be_handed_over(timeout, self.at(contender)) {
                    return self.hold(contender, grant);
                }
                self.contenders[contender].timeout = timeout;
                let token = grant.token;
                match grant.hand_over(timeout, self.at(contender)) {
                    Handed::Over(next) => self.passed_on(contender, "handed over", token, next),
                    Handed::Spent(grant) => panic!("it was handed over at once: {grant:?}"),
                }
            }
            Doing::Holding(grant) if !grant.deadline.has_passed(self.at(contender)) && self.chance(200) => {
                let timeout = self.lease / self.random.u32(1..8);
                self.contenders[contender].timeout = timeout;
                let grant = grant.reserve(timeout, self.at(contender));
                self.contenders[contender].believes = Some(grant.clone());
                self.contenders[contender].doing = Doing::Reserving(Renew::shorten(self.spec(contender), grant));
                self.step(contender, Input::Start);
            }
            Doing::Reserved(grant) => {
                self.contenders[contender].timeout = self.lease / self.random.u32(1..4);
                self.contenders[contender].doing = if self.chance(700) {
                    Doing::Claiming(Renew::new(self.spec(contender), grant))
                } else if self.chance(800) {
                    return self.release(contender, &grant);
                } else {
                    // Its process ends, and the reservation runs out.
                    self.contenders[contender].believes = None;
                    return self.rest(contender, "abandoned");
                };
                self.step(contender, Input::Start);
            }
            Doing::Holding(grant) if self.chance(300) => {
                self.contenders[contender].doing = Doing::Renewing(Renew::new(self.spec(contender), grant));
                self.step(contender, Input::Start);
            }
            Doing::Holding(grant) => self.release(contender, &grant),
            doing => {
                self.contenders[contender].doing = doing;
                self.step(contender, Input::Woke);
            }
        }
    }

    fn step(&mut self, contender: usize, input: Input) {
        let now = self.at(contender);
        let fresh = self.fresh(contender);
        match std::mem::replace(&mut self.contenders[contender].doing, Doing::Resting) {
            Doing::Acquiring(mut machine) => {
                let output = machine.step(now, fresh, input);
                self.contenders[contender].watch = machine.watch();
                let Output::Done(outcome) = output else {
                    self.contenders[contender].doing = Doing::Acquiring(machine);
                    return self.go_on(contender, output);
                };
                self.contenders[contender].leftovers.extend(machine.outstanding());
                self.contenders[contender].wait_list = machine.take_wait_list();
                match outcome {
                    Outcome::Granted(grant) => self.granted(contender, grant),
                    Outcome::Unreachable(_) => self.rest(contender, "unreachable"),
                    Outcome::TooSlow => self.rest(contender, "too slow"),
                    Outcome::ClockBehind(_) => self.rest(contender, "clock behind"),
                    other => panic!("{other:?} cannot come of this weather"),
                }
            }
            Doing::Renewing(mut machine) => match machine.step(now, input) {
                Output::Done(Renewed::Renewed(grant)) => {
                    self.contenders[contender].believes = Some(grant.clone());
                    self.hold(contender, grant);
                }
                Output::Done(Renewed::Failed(grant, _)) => self.hold(contender, grant),
                Output::Done(Renewed::Lost | Renewed::RanOut) => {
                    self.contenders[contender].believes = None;
                    self.rest(contender, "lost");
                }
                output => {
                    self.contenders[contender].doing = Doing::Renewing(machine);
                    self.go_on(contender, output);
                }
            },
            Doing::Reserving(mut machine) => match machine.step(now, input) {
                Output::Done(Renewed::Renewed(grant) | Renewed::Failed(grant, _)) => self.reserved(contender, grant),
                Output::Done(Renewed::Lost | Renewed::RanOut) => {
                    self.contenders[contender].believes = None;
                    self.rest(contender, "lost");
                }
                output => {
                    self.contenders[contender].doing = Doing::Reserving(machine);
                    self.go_on(contender, output);
                }
            },
            Doing::Claiming(mut machine) => match machine.step(now, input) {
                Output::Done(Renewed::Renewed(grant)) => {
                    let token = grant.token;
                    match grant.clone().claim(self.contenders[contender].timeout, now) {
                        Some(grant) => self.passed_on(contender, "claimed", token, grant),
                        None => self.release(contender, &grant),
                    }
                }
                // The item may still be there.
                Output::Done(Renewed::Failed(grant, _)) => self.release(contender, &grant),
                Output::Done(Renewed::Lost | Renewed::RanOut) => {
                    self.contenders[contender].believes = None;
                    self.rest(contender, "came too late");
                }
                output => {
                    self.contenders[contender].doing = Doing::Claiming(machine);
                    self.go_on(contender, output);
                }
            },
            Doing::Releasing(mut machine) => match machine.step(now, input) {
                Output::Done(released) => {
                    let cleaned = self.contenders[contender].cleaning.take();
                    if !matches!(released, Released::Failed(_)) {
                        self.contenders[contender]
                            .leftovers
                            .retain(|nonce| Some(*nonce) != cleaned);
                    }
                    self.released(contender, machine.take_wait_list());
                }
                output => {
                    self.contenders[contender].doing = Doing::Releasing(machine);
                    self.go_on(contender, output);
                }
            },
            Doing::Leaving(mut machine) => match machine.step(now, input) {
                Output::Done(()) => {
                    let wait_list = machine.into_wait_list();
                    self.contenders[contender].wait_list = Some(wait_list).filter(|wait_list| wait_list.has_others());
                    self.rest(contender, "left the list");
                }
                output => {
                    self.contenders[contender].doing = Doing::Leaving(machine);
                    self.go_on(contender, output);
                }
            },
            Doing::Resting | Doing::Holding(_) | Doing::Reserved(_) => panic!("nobody to step"),
        }
    }

    fn go_on<T: std::fmt::Debug>(&mut self, contender: usize, output: Output<T>) {
        match output {
            Output::Exchange { batch, only_on } => self.send(contender, batch, only_on),
            Output::Pause(pause) => {
                let length = pause.from + (pause.to - pause.from).mul_f64(self.random.f64());
                self.wake_in(contender, length);
            }
            Output::Done(outcome) => panic!("not handled: {outcome:?}"),
        }
    }

    fn granted(&mut self, contender: usize, grant: Grant) {
        self.grants += 1;
        assert!(
            self.last_token < Some(grant.token),
            "S2: {:?} after {:?}",
            grant.token,
            self.last_token
        );
        self.last_token = Some(grant.token);
        self.believe(contender, grant);
    }

    /// Passes the lock to another holder in the same process, under the same grant.
    fn passed_on(&mut self, contender: usize, how: &'static str, before: Token, grant: Grant) {
        *self.outcomes.entry(how).or_default() += 1;
        if !self.may_have_two_holders() {
            return self.granted(contender, grant);
        }
        // The server has forgotten the holder, and may have granted the lock anew. A holder under the old grant then
        // has a lower token, and the resource refuses it.
        assert!(before < grant.token, "S2 within one grant");
        self.believe(contender, grant);
    }

    fn believe(&mut self, contender: usize, grant: Grant) {
        self.contenders[contender].believes = Some(grant.clone());
        self.hold(contender, grant);
    }

    fn hold(&mut self, contender: usize, grant: Grant) {
        self.contenders[contender].doing = Doing::Holding(grant);
        let mut body = self.millis(0..20);
        if self.chance(self.weather.holder_stopped) {
            body += self.millis(100..5000);
        }
        if self.chance(self.weather.holder_suspended) {
            let length = self.millis(100..5000);
            body += length;
            let until = self.now + length;
            self.contenders[contender].clocks.suspend(self.now, until);
        }
        if self.chance(self.weather.server_stopped) && self.now >= self.stopped_until {
            // A process that has never read the clock is safe just after stops of up to 3.5 s. One that has read it is
            // safe after any stop.
            let longest = if self.now < Duration::from_secs(1010) {
                3_400
            } else {
                40_000
            };
            self.stopped_until = self.now + self.millis(100..longest);
        }
        if self.chance(self.weather.server_paused) && self.now >= self.stopped_until {
            let length = self.millis(100..40_000);
            self.stopped_until = self.now + length;
            self.lost += length;
            self.last_tick += length;
        }
        self.contenders[contender].round += 1;
        self.wake_in(contender, body);
    }

    fn release(&mut self, contender: usize, grant: &Grant) {
        self.contenders[contender].believes = None;
        let wait_list = self.contenders[contender].wait_list.take();
        let wait_list = wait_list.or_else(|| Some(Box::new(WaitListView::new(member(contender)))));
        let machine = Release::of_grant(self.item.clone(), grant, self.at(contender));
        self.contenders[contender].doing = Doing::Releasing(machine.with_wait_list(wait_list));
        self.step(contender, Input::Start);
    }

    fn released(&mut self, contender: usize, wait_list: Option<Box<WaitListView>>) {
        match wait_list {
            Some(wait_list) if wait_list.must_leave() => {
                let leave = Leave::new(wait_list);
                self.contenders[contender].doing = Doing::Leaving(leave);
                self.step(contender, Input::Start);
            }
            wait_list => {
                self.contenders[contender].wait_list = wait_list.filter(|wait_list| wait_list.has_others());
                self.rest(contender, "released");
            }
        }
    }

    fn reserved(&mut self, contender: usize, grant: Grant) {
        let longest = self.contenders[contender].timeout * 3 / 2;
        self.contenders[contender].doing = Doing::Reserved(grant);
        self.contenders[contender].round += 1;
        let pause = longest.mul_f64(self.random.f64().powi(3));
        self.wake_in(contender, pause);
    }

    fn rest(&mut self, contender: usize, outcome: &'static str) {
        *self.outcomes.entry(outcome).or_default() += 1;
        self.contenders[contender].doing = Doing::Resting;
        self.contenders[contender].round += 1;
        let pause = self.millis(0..30);
        self.wake_in(contender, pause);
    }

    /// A server that loses its state is outside the assumptions, until the leases from before it have ended.
    fn may_have_two_holders(&self) -> bool {
        self.state_was_lost_at
            .is_some_and(|lost| self.now < lost + 2 * self.lease)
    }

    fn check(&self) {
        if self.may_have_two_holders() {
            return;
        }
        let believers: Vec<usize> = (0..CONTENDERS)
            .filter(|&contender| {
                let grant = self.contenders[contender].believes.as_ref();
                grant.is_some_and(|grant| !grant.deadline.has_passed(self.at(contender)))
            })
            .collect();
        assert!(believers.len() <= 1, "S1: {believers:?} all believe at {:?}", self.now);
    }
}

/// Runs many seeds. Returns how many grants there were.
fn simulate(weather: Weather, lease: Duration, runs: u64) -> u64 {
    let seeds = match std::env::var("MEMLOCK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MEMLOCK_SEED is a number");
            seed..=seed
        }
        Err(_) => 1..=runs,
    };
    let (mut grants, mut handed_over, mut claimed, mut left) = (0, 0, 0, 0);
    for seed in seeds {
        let world = std::panic::catch_unwind(|| World::new(seed, weather, lease).run());
        let Ok(world) = world else {
            panic!("seed {seed} fails in {weather:?}: run it alone with MEMLOCK_SEED={seed}")
        };
        grants += world.grants;
        let number = |outcome| world.outcomes.get(outcome).copied().unwrap_or_default();
        handed_over += number("handed over");
        claimed += number("claimed");
        left += number("left the list");
    }
    assert!(left > grants / 20, "{left} of {grants} had left the wait list");
    assert!(handed_over > grants / 20, "{handed_over} of {grants} were hand-overs");
    assert!(
        claimed > grants / 40,
        "{claimed} of {grants} were claims of a reservation"
    );
    grants
}

#[test]
fn in_fine_weather_the_lock_goes_round() {
    let grants = simulate(FINE, Duration::from_secs(5), 5);
    assert!(grants > 3_000, "{grants}");
}

#[test]
fn lost_late_and_renumbered_exchanges_let_nobody_in_twice() {
    let weather = Weather {
        reply_lost: 30,
        request_lost: 30,
        executed_late: 30,
        renumbered: 30,
        ..FINE
    };
    for lease in [200, 1000, 5000] {
        assert!(
            simulate(weather, Duration::from_millis(lease), 15) > 1_000,
            "nobody got anywhere"
        );
    }
}

#[test]
fn holders_that_are_stopped_past_their_lease_stop_believing_first() {
    let weather = Weather {
        heard_late: 20,
        holder_stopped: 100,
        ..FINE
    };
    for lease in [200, 1000] {
        assert!(
            simulate(weather, Duration::from_millis(lease), 15) > 1_000,
            "nobody got anywhere"
        );
    }
}

#[test]
fn one_clock_of_each_process_may_be_wrong_by_far() {
    // What chrony does to a clock that it slews; and the rest within what two clocks may differ by.
    let (wrong, right) = (83_333, 500);
    for (slewed, raw) in [(wrong, right), (right, wrong)] {
        for holder_suspended in [0, 50] {
            let weather = Weather {
                holder_stopped: 100,
                holder_suspended,
                clocks: ClockErrors { slewed, raw },
                ..FINE
            };
            for lease in [200, 1000, 5000] {
                assert!(
                    simulate(weather, Duration::from_millis(lease), 8) > 500,
                    "nobody got anywhere"
                );
            }
        }
    }
}

#[test]
fn a_server_that_stands_still_ends_no_lease_that_is_believed_in() {
    let weather = Weather {
        server_stopped: 15,
        holder_stopped: 200,
        ..FINE
    };
    for lease in [1000, 5000] {
        assert!(
            simulate(weather, Duration::from_millis(lease), 60) > 500,
            "nobody got anywhere"
        );
    }
}

#[test]
fn a_server_that_lost_time_ends_no_lease_that_is_believed_in_and_grants_on() {
    let paused = Weather {
        server_paused: 1,
        ..FINE
    };
    let stopped_too = Weather {
        server_stopped: 2,
        holder_stopped: 100,
        ..paused
    };
    for lease in [1000, 5000] {
        assert!(
            simulate(stopped_too, Duration::from_millis(lease), 15) > 500,
            "nobody got anywhere"
        );
    }
    let grants = simulate(paused, Duration::from_secs(1), 15);
    assert!(grants > 18_000, "it is refused for long: {grants} grants");
}

#[test]
fn tokens_rise_where_the_servers_number_is_drawn_before_the_data_has_come() {
    let weather = Weather {
        data_late: 100,
        renumbered: 10,
        ..FINE
    };
    for lease in [200, 1000] {
        assert!(
            simulate(weather, Duration::from_millis(lease), 4) > 1_000,
            "nobody got anywhere"
        );
    }
    let flushed = Weather {
        flushed: true,
        ..weather
    };
    assert!(
        simulate(flushed, Duration::from_secs(2), 4) > 1_000,
        "nobody got anywhere"
    );
}

#[test]
fn tokens_rise_across_a_flush_and_a_restart() {
    for weather in [
        Weather { flushed: true, ..FINE },
        Weather {
            restarts: true,
            reply_lost: 10,
            ..FINE
        },
    ] {
        assert!(
            simulate(weather, Duration::from_secs(2), 10) > 1_000,
            "nobody got anywhere"
        );
    }
}

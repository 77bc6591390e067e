//! Processes on one lock, on virtual time: each acquires it, holds it for a while, releases it, and comes back. Only
//! exchanges, wake-ups, pauses and bodies take time, so the cost that they cause one another can be read off to the
//! microsecond.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use memlock_runtime::__internals::{
    Acquire, Batch, Exchanged, Grant, Input, Instance, ItemName, Items, Leave, Member, Nonce, Now, Outcome, Output,
    Release, Replies, Reply, Request, Secret, ServerClock, Spec, WaitListView, WakeTarget, Watch,
    should_read_wait_list,
};

const START: u64 = 1_800_000_000;

/// What an exchange takes on loopback.
const EXCHANGE: Duration = Duration::from_micros(30);

/// What a wake-up takes: a datagram, and the process that wakes up because of it.
const WAKE_UP: Duration = Duration::from_micros(50);

/// After how long a process leaves the list that was expected back.
const PLACE_KEPT: Duration = Duration::from_millis(5);

pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// What one process does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habit {
    /// When it asks for the first time.
    pub(crate) begins: Duration,
    /// For how long it holds the lock.
    pub(crate) body: Duration,
    /// How long it waits from releasing the lock to asking again; `None`: it does not come back.
    pub(crate) rest: Option<Duration>,
    /// From when on it does not come back.
    pub(crate) ends: Duration,
    /// When it is killed, whatever it is doing.
    pub(crate) dies: Duration,
    /// From when to when it is stopped.
    pub(crate) stopped: (Duration, Duration),
    /// Whether other processes can wake it.
    pub(crate) can_be_woken: bool,
    /// How long it waits before it gives up; `None`: it does not.
    pub(crate) wait: Option<Duration>,
    pub(crate) interval: Duration,
}

impl Habit {
    /// Comes back at once, for ever.
    pub(crate) fn busy(body: Duration) -> Habit {
        Habit {
            begins: Duration::ZERO,
            body,
            rest: Some(Duration::ZERO),
            ends: Duration::MAX,
            dies: Duration::MAX,
            stopped: (Duration::ZERO, Duration::ZERO),
            can_be_woken: false,
            wait: None,
            interval: INTERVAL,
        }
    }
}

/// One use of the lock, from asking to leaving.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    pub(crate) who: usize,
    pub(crate) asked: Duration,
    pub(crate) entered: Duration,
    pub(crate) left: Duration,
}

enum Doing {
    Nothing,
    Acquiring(Box<Acquire>),
    Holding(Box<Grant>),
    Releasing(Box<Release>),
    Leaving(Box<Leave>),
}

struct Process {
    habit: Habit,
    me: Member,
    doing: Doing,
    wait_list: Option<Box<WaitListView>>,
    watch: Option<Watch>,
    clock: ServerClock,
    looked: Duration,
    asked: Duration,
    entered: Duration,
    /// The event that ends its pause.
    pause: Option<usize>,
    /// The process that it has woken about its release.
    woken: Option<WakeTarget>,
    /// Whether it was woken, and has not looked since.
    was_woken: bool,
}

/// Where process `who` is woken. Nothing is sent anywhere.
fn wake_target(who: usize) -> WakeTarget {
    WakeTarget {
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
        secret: Secret::new(who as u64),
    }
}

enum Event {
    Input(Input),
    Exchange(Batch),
    /// A wake-up has arrived, and ended a pause.
    Woken,
    Release,
    Ask,
    /// The process may not have come back to the place that was kept for it.
    MayBeOverdue,
}

pub(crate) struct Crowd {
    pub(crate) now: Duration,
    pub(crate) items: Items,
    item: ItemName,
    random: fastrand::Rng,
    nonces: u64,
    processes: Vec<Process>,
    due: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    events: Vec<Option<Event>>,
    pub(crate) visits: Vec<Visit>,
    /// When each command reached the server, and the process that sent it.
    pub(crate) commands: Vec<(Duration, usize)>,
    /// How many entries of wait lists were read and written.
    pub(crate) entries: usize,
    /// When a process gave up, and which one.
    pub(crate) given_up: Vec<(Duration, usize)>,
    /// Whether the network loses every wake-up.
    pub(crate) are_wake_ups_lost: bool,
}

impl Crowd {
    pub(crate) fn new(habits: &[Habit]) -> Crowd {
        let item = ItemName::of_lock("memlock", "crowd", "x");
        let mut items = Items::new(Instance { start: START, pid: 1 });
        items.apply(START + 10, &item, &Request::CreateClock);
        let mut crowd = Crowd {
            now: Duration::ZERO,
            items,
            item,
            random: fastrand::Rng::with_seed(1),
            nonces: 0,
            processes: Vec::new(),
            due: BinaryHeap::new(),
            events: Vec::new(),
            visits: Vec::new(),
            commands: Vec::new(),
            entries: 0,
            given_up: Vec::new(),
            are_wake_ups_lost: false,
        };
        for (who, habit) in habits.iter().enumerate() {
            crowd.processes.push(Process {
                habit: *habit,
                me: Member::new(who as u64 + 1, habit.can_be_woken.then(|| wake_target(who))),
                doing: Doing::Nothing,
                wait_list: None,
                watch: None,
                clock: ServerClock::default(),
                looked: Duration::ZERO,
                asked: Duration::ZERO,
                entered: Duration::ZERO,
                pause: None,
                woken: None,
                was_woken: false,
            });
            crowd.after(habit.begins, who, Event::Ask);
        }
        crowd
    }

    /// Lets time pass.
    pub(crate) fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((when, index, who))) = self.due.pop() {
            if when > end {
                self.due.push(Reverse((when, index, who)));
                break;
            }
            let (stopped, goes_on) = self.processes[who].habit.stopped;
            if (stopped..goes_on).contains(&when) {
                self.due.push(Reverse((goes_on, index, who)));
                continue;
            }
            self.now = when;
            let event = usize::try_from(index).ok().and_then(|index| self.events[index].take());
            if let Some(event) = event.filter(|_| self.processes[who].habit.dies > when) {
                self.handle(who, event);
            }
        }
        self.now = end;
    }

    /// The processes in the wait list.
    pub(crate) fn line(&mut self) -> Vec<usize> {
        let second = self.second();
        match self.items.apply(second, &self.item, &Request::ReadWaitList) {
            Reply::WaitList { line, .. } => line.0.iter().map(|member| self.index_of(*member)).collect(),
            _ => Vec::new(),
        }
    }

    /// The share of the time since `from` in which somebody held the lock.
    pub(crate) fn efficiency(&self, from: Duration) -> f64 {
        let since = self.visits.iter().filter(|visit| visit.entered >= from);
        let inside: Duration = since.map(|visit| visit.left - visit.entered).sum();
        inside.as_secs_f64() / (self.now - from).as_secs_f64()
    }

    /// How often each process got the lock since `from`.
    pub(crate) fn shares(&self, from: Duration) -> Vec<usize> {
        let of = |me: usize| {
            let mine = |visit: &&Visit| visit.who == me && visit.entered >= from;
            self.visits.iter().filter(mine).count()
        };
        (0..self.processes.len()).map(of).collect()
    }

    fn index_of(&self, member: Member) -> usize {
        let is_its = |process: &Process| process.me.process == member.process;
        self.processes.iter().position(is_its).expect("one of these")
    }

    fn second(&self) -> u64 {
        START + 10 + self.now.as_secs()
    }

    fn at(&self) -> Now {
        Now::at(Duration::from_secs(1000) + self.now)
    }

    fn after(&mut self, length: Duration, who: usize, event: Event) {
        self.due
            .push(Reverse((self.now + length, self.events.len() as u64, who)));
        self.events.push(Some(event));
    }

    fn handle(&mut self, who: usize, event: Event) {
        match event {
            Event::Ask => self.ask(who),
            Event::MayBeOverdue => self.leave_if_overdue(who),
            Event::Release => self.release(who),
            Event::Input(input) => self.step(who, input),
            Event::Woken => {
                let now = self.at();
                if let Doing::Acquiring(machine) = &mut self.processes[who].doing {
                    let length = machine.record_wake(now, false);
                    self.after(length, who, Event::Input(Input::Woke));
                }
            }
            Event::Exchange(batch) => {
                let (sent, second) = (self.at(), self.second());
                let mut apply = |request| self.items.apply(second, &self.item, request);
                let replies: Replies = batch.iter().map(&mut apply).collect();
                self.commands.extend(batch.iter().map(|_| (self.now, who)));
                for reply in &replies {
                    self.entries += if let Reply::WaitList { line, .. } = reply {
                        line.0.len()
                    } else {
                        0
                    };
                }
                for request in &batch {
                    self.entries += if let Request::StoreWaitList { line, .. } = request {
                        line.0.len()
                    } else {
                        0
                    };
                }
                let clock = &mut self.processes[who].clock;
                if let Some(Reply::Clock(second)) = replies.first() {
                    clock.observe(*second, sent, sent);
                }
                let best = clock.best(sent);
                let answered = Exchanged {
                    instance: Some(self.items.instance()),
                    replies,
                    unanswered: None,
                    sent,
                    best,
                    ..Exchanged::default()
                };
                self.after(EXCHANGE / 2, who, Event::Input(Input::Exchanged(answered)));
            }
        }
    }

    fn ask(&mut self, who: usize) {
        let spec = Spec {
            server: 0,
            item: self.item.clone(),
            label: "".into(),
            timeout: Duration::from_secs(10 * 60),
            interval: self.processes[who].habit.interval,
            wait: self.processes[who].habit.wait,
        };
        let now = self.now;
        let process = &mut self.processes[who];
        process.asked = now;
        let machine = Acquire::new(spec, process.watch, false).with_wait_list(process.me, process.wait_list.take());
        process.doing = Doing::Acquiring(Box::new(machine));
        self.step(who, Input::Start);
    }

    fn release(&mut self, who: usize) {
        let now = self.at();
        let process = &mut self.processes[who];
        let Doing::Holding(grant) = std::mem::replace(&mut process.doing, Doing::Nothing) else {
            panic!("it holds the lock");
        };
        self.visits.push(Visit {
            who,
            asked: process.asked,
            entered: process.entered,
            left: self.now,
        });
        let mut view = None;
        if should_read_wait_list(
            process.wait_list.as_deref(),
            grant.end.sent().instant,
            process.looked,
            now,
        ) {
            process.looked = now.instant;
            view = process
                .wait_list
                .take()
                .or_else(|| Some(Box::new(WaitListView::new(process.me))));
        }
        let machine = Release::of_grant(self.item.clone(), &grant, now).with_wait_list(view);
        process.woken = None;
        process.was_woken = false;
        let next_wake_target = machine.next_wake_target();
        process.doing = Doing::Releasing(Box::new(machine));
        self.wake_next(who, next_wake_target);
        self.step(who, Input::Start);
    }

    fn step(&mut self, who: usize, input: Input) {
        self.nonces += 1;
        let me = self.processes[who].me;
        let fresh = Nonce(u128::from(me.process) << 64 | u128::from(self.nonces));
        let now = self.at();
        match std::mem::replace(&mut self.processes[who].doing, Doing::Nothing) {
            Doing::Acquiring(mut machine) => match machine.step(now, fresh, input) {
                Output::Done(Outcome::Granted(grant)) => {
                    let (entered, process) = (self.now, &mut self.processes[who]);
                    process.wait_list = machine.take_wait_list();
                    process.entered = entered;
                    process.doing = Doing::Holding(Box::new(grant));
                    let body = process.habit.body;
                    self.after(body, who, Event::Release);
                }
                Output::Done(Outcome::Busy { .. }) => {
                    self.given_up.push((self.now, who));
                    let process = &mut self.processes[who];
                    process.watch = machine.watch();
                    match machine.take_wait_list() {
                        Some(wait_list) if wait_list.must_leave() => self.leave(who, wait_list),
                        wait_list => {
                            process.wait_list = wait_list;
                            self.rest(who);
                        }
                    }
                }
                Output::Done(other) => panic!("{other:?}"),
                output => {
                    self.processes[who].doing = Doing::Acquiring(machine);
                    self.go_on(who, output);
                }
            },
            Doing::Releasing(mut machine) => match machine.step(now, input) {
                Output::Done(_) => self.released(who, machine.take_wait_list()),
                output => {
                    self.processes[who].doing = Doing::Releasing(machine);
                    self.go_on(who, output);
                }
            },
            Doing::Leaving(mut machine) => match machine.step(now, input) {
                Output::Done(()) => {
                    let wait_list = machine.into_wait_list();
                    if self.given_up.last() != Some(&(self.now, who)) {
                        self.wake_next(who, wait_list.next_wake_target());
                    }
                    self.processes[who].wait_list = Some(wait_list).filter(|wait_list| wait_list.has_others());
                    self.rest(who);
                }
                output => {
                    self.processes[who].doing = Doing::Leaving(machine);
                    self.go_on(who, output);
                }
            },
            Doing::Nothing | Doing::Holding(_) => panic!("nothing to step"),
        }
    }

    fn go_on<T: std::fmt::Debug>(&mut self, who: usize, output: Output<T>) {
        match output {
            Output::Exchange { batch, .. } => self.after(EXCHANGE / 2, who, Event::Exchange(batch)),
            Output::Pause(_) if std::mem::take(&mut self.processes[who].was_woken) => {
                self.after(Duration::ZERO, who, Event::Woken);
            }
            Output::Pause(pause) => {
                let length = pause.from + (pause.to - pause.from).mul_f64(self.random.f64());
                self.processes[who].pause = Some(self.events.len());
                self.after(length, who, Event::Input(Input::Woke));
            }
            Output::Done(outcome) => panic!("not handled: {outcome:?}"),
        }
    }

    fn released(&mut self, who: usize, wait_list: Option<Box<WaitListView>>) {
        self.wake_next(
            who,
            wait_list.as_ref().and_then(|wait_list| wait_list.next_wake_target()),
        );
        match wait_list {
            Some(wait_list) if wait_list.must_leave() => self.leave(who, wait_list),
            Some(wait_list) => {
                self.processes[who].wait_list = Some(wait_list).filter(|wait_list| wait_list.has_others());
                self.rest(who);
            }
            None => self.rest(who),
        }
    }

    fn leave(&mut self, who: usize, wait_list: Box<WaitListView>) {
        self.processes[who].doing = Doing::Leaving(Box::new(Leave::new(wait_list)));
        self.step(who, Input::Start);
    }

    /// Wakes the next process, unless it has been woken about this release.
    fn wake_next(&mut self, who: usize, next: Option<WakeTarget>) {
        let woken = &mut self.processes[who].woken;
        if let Some(next) = next.filter(|next| Some(*next) != *woken) {
            *woken = Some(next);
            self.wake(usize::try_from(*next.secret.expose()).expect("one of these"));
        }
    }

    fn leave_if_overdue(&mut self, who: usize) {
        let now = self.at();
        let process = &mut self.processes[who];
        if !matches!(process.doing, Doing::Nothing) {
            return;
        }
        let is_overdue = |wait_list: &mut Box<WaitListView>| wait_list.has_kept_place() && wait_list.is_overdue(now);
        if let Some(wait_list) = process.wait_list.take_if(is_overdue) {
            self.leave(who, wait_list);
        }
    }

    /// Wakes a process that waits, or is about to.
    pub(crate) fn wake(&mut self, who: usize) {
        let process = &mut self.processes[who];
        if self.are_wake_ups_lost {
            return;
        }
        if process.pause.is_some_and(|pause| self.events[pause].take().is_some()) {
            self.after(WAKE_UP, who, Event::Woken);
        } else {
            process.was_woken = true;
        }
    }

    fn rest(&mut self, who: usize) {
        let process = &self.processes[who];
        let has_kept_place = process
            .wait_list
            .as_ref()
            .is_some_and(|wait_list| wait_list.has_kept_place());
        match process.habit.rest.filter(|_| self.now < process.habit.ends) {
            Some(rest) => self.after(rest, who, Event::Ask),
            None if has_kept_place => self.after(PLACE_KEPT, who, Event::MayBeOverdue),
            None => {}
        }
    }
}

//! A state of the model: one server, its contenders, and the exchanges on their way between them. Plain data.
//!
//! States without a difference that matters are made equal, so that there are fewer. Nonces are numbered by contender
//! and use instead of by the order of events. A store is remembered only as long as a grant may come of it.

use std::sync::LazyLock;
use std::time::Duration;

use memlock_runtime::__internals::{
    Acquire, Batch, Cas, Content, Deadline, Instance, ItemName, Items, Label, LeaseState, Nonce, Now, Release, Renew,
    Replies, Reply, Request, ServerClock, Spec, TurnState, Watch,
};
use memlock_runtime::Token;

use crate::Bounds;

/// The server's second at the beginning of the model.
pub(crate) const BEGINNING: u64 = 1_800_000_000;

/// What `stats` calls `uptime` when a server has just started.
pub(crate) const FIRST_UPTIME: u64 = 2;

/// How long the first instance had run at the beginning.
const AGE: u64 = 1000;

/// What every process's own clock shows at the beginning. Not zero, which no real clock would show.
pub(crate) const ORIGIN: Duration = Duration::from_secs(1000);

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The true time since the server's first second began.
    pub(crate) now: Duration,
    pub(crate) steps_taken: usize,
    pub(crate) server: Server,
    pub(crate) contenders: Vec<Contender>,
    /// The queue of each process for the lock.
    pub(crate) queues: Vec<Queue>,
    /// Whether one grant may have several holders, one after the other.
    pub(crate) has_next_holders: bool,
    /// Exchanges that were repeated, or that no contender waits for any more, and that may yet be executed.
    pub(crate) strays: Vec<Stray>,
    /// What may still go wrong.
    pub(crate) left: Left,
    pub(crate) watched: Watched,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) items: Items,
    /// How often it has been restarted. Only the checker sees this: two instances may look the same.
    pub(crate) run: u8,
    /// The second that its workers go by.
    pub(crate) second: u64,
    pub(crate) is_stopped: bool,
}

/// One thread of a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Contender {
    pub(crate) doing: Doing,
    pub(crate) exchange: Option<Exchange>,
    /// The keeper's work on the first of `leftovers`.
    pub(crate) cleaning: Option<(Release, Option<Exchange>)>,
    /// The nonces of writes without a reply.
    pub(crate) leftovers: Vec<Nonce>,
    pub(crate) watch: Option<Watch>,
    /// The number of the turn that it has, or had before the turn was taken away.
    pub(crate) turn: u64,
    /// The number of the turn that it was given while it waited.
    pub(crate) given: u64,
    pub(crate) clock: ServerClock,
    pub(crate) clock_of: Option<Instance>,
    /// The grant that it believes in, and until when.
    pub(crate) belief: Option<(Nonce, Deadline)>,
    /// The nonce of the last store that was confirmed to it. A grant must rest on that store.
    pub(crate) proof: Option<Nonce>,
    pub(crate) nonces_used: u8,
    pub(crate) attempts: u8,
    pub(crate) renewals: u8,
    pub(crate) reentries: u8,
    pub(crate) reserves: u8,
    /// How many bodies run under its lease beside the outermost.
    pub(crate) depth: u8,
    /// Whether its last renewal has had no reply.
    pub(crate) is_in_doubt: bool,
    /// Whether the server must still be told of the shorter lease.
    pub(crate) is_untold: bool,
}

/// A process's queue for the lock: shared between its threads, and changed by one of them at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    /// The turns. `None` while no contender has one.
    pub(crate) turns: Option<TurnState>,
    /// The waiting contenders, in order.
    pub(crate) waiting: Vec<usize>,
    /// The last number of a turn.
    pub(crate) numbers: u64,
    /// What is known of the holder while there is no queue.
    pub(crate) watch: Option<Watch>,
    /// The contender that has the turn, as only the checker knows for certain.
    pub(crate) has_turn: Option<usize>,
}

/// What the thread is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::large_enum_variant, reason = "a box would cost an allocation for each state")]
pub(crate) enum Doing {
    Resting,
    Acquiring(Acquire),
    /// It waits in its process's queue.
    Waiting,
    Holding(LeaseState),
    Renewing(Renew, LeaseState, Purpose),
    /// It has reserved the lock, and will start again.
    Reserved(LeaseState),
    Releasing(Release, Nonce, Then),
}

/// Why a lease is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Keep,
    /// To enter again.
    Enter,
    /// To tell the server how long the lock is reserved.
    Tell,
    /// To claim the reservation.
    Claim,
}

/// What comes after a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Then {
    Rest,
    /// Too little of the grant that was handed over was left: ask the server, in the same turn.
    Acquire,
}

/// A batch on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Exchange {
    pub(crate) batch: Batch,
    /// The instance that the connection leads to, as it calls itself.
    pub(crate) instance: Instance,
    /// The run of the server that it really leads to.
    pub(crate) run: u8,
    pub(crate) sent: Now,
    pub(crate) replies: Replies,
    /// The CAS that the next command has drawn: a store with data that has not arrived yet.
    pub(crate) drawn: Option<Cas>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stray {
    pub(crate) sender: Sender,
    pub(crate) exchange: Exchange,
    pub(crate) next: usize,
}

/// The sender of an exchange: the contender, the kind of its machine, and the nonce under which the machine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sender {
    pub(crate) contender: usize,
    pub(crate) machine: Machine,
    pub(crate) is_stray: bool,
}

/// The kind of a machine, and the nonce of the item that it may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Machine {
    Acquire,
    Renew(Nonce),
    Release(Nonce),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) lost: u8,
    pub(crate) unsent: u8,
    pub(crate) repeated: u8,
    pub(crate) stops: u8,
    pub(crate) flushes: u8,
    pub(crate) restarts: u8,
    pub(crate) clock_losses: u8,
    pub(crate) renumberings: u8,
    pub(crate) leaves: u8,
    pub(crate) deaths: u8,
}

/// What only the checker sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Watched {
    /// The nonce in the item now.
    pub(crate) holder: Option<Nonce>,
    /// The lease that the item says.
    pub(crate) lease: Option<Duration>,
    /// The nonces that have been stored anew, in the server's order, each with its token if it was granted.
    pub(crate) stored: Vec<(Nonce, Option<Token>)>,
    /// The nonces of the items that were there when the server lost its state.
    pub(crate) excused: Vec<Nonce>,
    /// The promise that the last transition broke.
    pub(crate) broken: Option<Promise>,
}

/// The promises that are checked when something happens. The others are checked in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Promise {
    TokensRise,
    OnlyTheOwnItem,
    NoGrantWithoutProof,
    /// No holder's deadline is beyond the end of the grant, or the server's expiry.
    NoDeadlineBeyondTheEnd,
    /// A contender that has lost its turn hands nothing over, and takes nothing.
    OneTurn,
    /// A holder that enters again has a lease, and the same as before; it gives the lease up once.
    OneHold,
    /// No item is there that no contender knows to be its own.
    NothingLeftBehind,
    /// No machine ends in a way that is impossible in such a world.
    NoSurprise,
}

impl World {
    pub(crate) fn new(bounds: &Bounds) -> World {
        let instance = Instance {
            start: BEGINNING - AGE,
            pid: 1,
        };
        let mut items = Items::new(instance);
        if bounds.has_clock_item {
            items.apply(BEGINNING, &ITEM, &Request::CreateClock);
        }
        // So that the server has seen this second, as it has in every later state.
        items.apply(BEGINNING, &ITEM, &Request::ReadClock);
        let contender = |index| {
            let mut clock = ServerClock::default();
            if bounds.has_baseline && (bounds.stops > 0 || bounds.late_ticks) {
                let now = local(bounds.first_second_is_old, skew(bounds, index));
                clock.observe(BEGINNING, now, now);
            }
            Contender {
                doing: Doing::Resting,
                exchange: None,
                cleaning: None,
                leftovers: Vec::new(),
                watch: None,
                clock,
                clock_of: bounds.has_baseline.then_some(instance),
                belief: None,
                proof: None,
                nonces_used: 0,
                attempts: bounds.attempts[index],
                renewals: bounds.renewals.get(index).copied().unwrap_or(0),
                reentries: bounds.reentries.get(index).copied().unwrap_or(0),
                reserves: bounds.reserves.get(index).copied().unwrap_or(0),
                is_untold: false,
                depth: 0,
                turn: TurnState::NONE,
                given: TurnState::NONE,
                is_in_doubt: false,
            }
        };
        World {
            now: bounds.first_second_is_old,
            steps_taken: 0,
            server: Server {
                items,
                run: 0,
                second: BEGINNING,
                is_stopped: false,
            },
            contenders: (0..bounds.attempts.len()).map(contender).collect(),
            queues: vec![Queue::default(); bounds.process_count()],
            has_next_holders: !bounds.reserves.is_empty() || bounds.process_count() < bounds.attempts.len(),
            strays: Vec::new(),
            left: Left {
                lost: bounds.lost,
                unsent: bounds.unsent,
                repeated: bounds.repeated,
                stops: bounds.stops,
                flushes: bounds.flushes,
                restarts: bounds.restarts,
                clock_losses: bounds.clock_losses,
                renumberings: bounds.renumberings,
                leaves: bounds.leaves,
                deaths: bounds.deaths,
            },
            watched: Watched::default(),
        }
    }

    /// The second that the server's clock would show if it were never late.
    pub(crate) fn true_second(&self) -> u64 {
        BEGINNING + self.now.as_secs()
    }

    /// The nonce in the item, and the lease that it says, by the server's own account.
    pub(crate) fn ask_for_holder(&mut self) -> Option<(Nonce, Duration)> {
        match self.server.items.apply(self.server.second, &ITEM, &Request::Read) {
            Reply::Item { content, .. } => match *content {
                Content::Lock(record) => Some((record.nonce, record.lease)),
                Content::Foreign => None,
            },
            _ => None,
        }
    }

    /// The contenders that believe in the lock, by index, each with its grant's nonce.
    pub(crate) fn believers(&self) -> impl Iterator<Item = (usize, Nonce)> {
        let belief = |(index, contender): (usize, &Contender)| Some((index, contender.belief?.0));
        self.contenders.iter().enumerate().filter_map(belief)
    }
}

/// The lock's item.
pub(crate) static ITEM: LazyLock<ItemName> = LazyLock::new(|| ItemName::of_lock("memlock", "model", "x"));

/// The same, owned.
pub(crate) fn item() -> ItemName {
    ITEM.clone()
}

/// The lock that all contenders want, as `contender` asks for it.
pub(crate) fn spec(bounds: &Bounds, contender: usize) -> Spec {
    spec_for(bounds.timeout(contender))
}

/// The same, for this timeout.
pub(crate) fn spec_for(timeout: Duration) -> Spec {
    Spec {
        server: 0,
        item: item(),
        label: Label::default(),
        timeout,
        interval: Duration::from_millis(50),
        wait: None,
    }
}

/// By how many parts in a million a process's clocks are fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Skew {
    /// Those that are slewed.
    slewed: i32,
    raw: i32,
}

pub(crate) fn skew(bounds: &Bounds, contender: usize) -> Skew {
    let slewed = bounds.skew.get(contender).copied().unwrap_or(0);
    let raw = bounds.raw_skew.get(contender).copied().unwrap_or(slewed);
    Skew { slewed, raw }
}

/// What the clocks of a process show at `now`.
pub(crate) fn local(now: Duration, skew: Skew) -> Now {
    let shown = |skew: i32| {
        let error = now * skew.unsigned_abs() / 1_000_000;
        let elapsed = if skew < 0 {
            now.saturating_sub(error)
        } else {
            now + error
        };
        ORIGIN + elapsed
    };
    Now {
        raw: shown(skew.raw),
        ..Now::at(shown(skew.slewed))
    }
}

/// The nonce of the `used`th attempt of `contender`, both counted from 0.
pub(crate) fn nonce(contender: usize, used: u8) -> Nonce {
    Nonce(((contender as u128 + 1) << 8) | u128::from(used))
}

/// The nonce under which a batch creates an item or takes it over, and that request's index.
pub(crate) fn written(batch: &Batch) -> Option<(usize, Nonce)> {
    batch.iter().enumerate().find_map(|(index, request)| match request {
        Request::Add { record, .. } | Request::Replace { record, .. } => Some((index, record.nonce)),
        _ => None,
    })
}

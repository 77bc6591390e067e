//! A server whose answers contradict one another, on a clock that the test moves.

use super::*;
use crate::driver::caller::Caller;
use crate::hold::options::LockOptions;
use crate::locks::acquire::LockCall;
use crate::protocol::Reply;

/// [`Memory`] that deletes nothing, and replies that the CAS differs, whichever it is: as memcached did before 1.6.13.
#[derive(Debug)]
struct Undeleting {
    memory: Memory,
    clock: Arc<Clock>,
    /// When it got each delete request.
    asked: Arc<Mutex<Vec<Duration>>>,
}

impl Store for Undeleting {
    fn exchange(
        &self,
        server: usize,
        item: &ItemName,
        batch: &[Request],
        only_on: Option<Instance>,
        limit: Duration,
    ) -> Exchanged {
        if !matches!(batch, [Request::Delete { .. }, ..]) {
            return self.memory.exchange(server, item, batch, only_on, limit);
        }
        self.asked.lock().expect("no panic").push(self.clock.now().instant);
        let mut answer = self.memory.exchange(server, item, &[Request::Read], only_on, limit);
        answer.replies = batch.iter().map(|_| Reply::Exists).collect();
        answer
    }

    fn server_name(&self, _: usize) -> &'static str {
        "undeleting"
    }

    fn route(&self, _: &ItemName) -> usize {
        0
    }

    fn servers(&self) -> usize {
        1
    }
}

fn undeleting() -> (Locks, Arc<Clock>, Arc<Mutex<Vec<Duration>>>) {
    let clock = Arc::new(Clock::standing());
    let asked = Arc::<Mutex<Vec<Duration>>>::default();
    let memory = Memory::on(Arc::clone(&clock));
    // It needs its clock item, or the first grant would be released.
    memory.exchange(0, &Counted::item(), &[Request::CreateClock], None, EXCHANGE);
    let store = Undeleting {
        memory,
        clock: Arc::clone(&clock),
        asked: Arc::clone(&asked),
    };
    let locks = Builder::new().servers("memory:").build().expect("a server list");
    let locks = locks.on(Core::on(Arc::clone(&clock), Arc::new(store), EXCHANGE));
    (locks, clock, asked)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "it lets the background thread run")]
fn a_delete_without_effect_is_attempted_less_and_less_often() {
    let (locks, clock, asked) = undeleting();
    let began = clock.now().instant;
    let guard = locks.lock("k").timeout(LEASE).acquire().expect("it is free");
    drop(guard);
    let count = || asked.lock().expect("no panic").len();
    // Until the item has expired. Each step gives the background time for an attempt, if one is due.
    for _ in 0..150 {
        let before = count();
        clock.advance(Duration::from_millis(100));
        for _ in 0..20 {
            if count() > before {
                break;
            }
            thread::sleep(Duration::from_micros(200));
        }
    }
    let asked = asked.lock().expect("no panic");
    let of_second = |second: u64| asked.iter().filter(|at| (**at - began).as_secs() == second).count();
    let tries: Vec<usize> = (0..15).map(of_second).collect();
    // Five deletes for each attempt. Constant pauses of 50 ms would make a hundred each second.
    assert!(tries[5..].iter().sum::<usize>() <= 5 * 4, "{tries:?}");
    assert!(!tries.is_empty());
}

#[test]
fn an_error_says_that_the_answers_contradict_one_another() {
    let (locks, _clock, _asked) = undeleting();
    let core = locks.core();
    let options = LockOptions::of("f");
    let call = LockCall::begin(&locks, Caller::Thread, &options).expect("it is open");
    let spec = call.spec(&Counted::item());
    let error = crate::driver::errors::unavailable(core, &spec, Unanswered::Contradicted, None);
    assert!(format!("{error:?}").contains("contradict"), "{error:?}");
}

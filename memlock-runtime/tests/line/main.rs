//! Processes that wait for one lock, on virtual time: all get their turns, and waiting costs little.
//!
//! | in | what |
//! |---|---|
//! | `crowd` | the processes, and a server |

#![allow(clippy::unchecked_time_subtraction, reason = "a test may panic")]

mod crowd;

use std::time::Duration;

use crowd::{Crowd, Habit, INTERVAL, Visit};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Jain's index: 1 when all have the same share, 1/n when one has everything.
fn jain(shares: &[usize]) -> f64 {
    let shares: Vec<f64> = shares
        .iter()
        .map(|share| f64::from(u32::try_from(*share).expect("a count")))
        .collect();
    let (sum, squares): (f64, f64) = (shares.iter().sum(), shares.iter().map(|share| share * share).sum());
    let count = f64::from(u32::try_from(shares.len()).expect("a count"));
    sum * sum / (count * squares)
}

fn longest_wait(visits: &[Visit], since: Duration) -> Duration {
    let waits = visits
        .iter()
        .filter(|visit| visit.asked >= since)
        .map(|visit| visit.entered - visit.asked);
    waits.max().expect("somebody got the lock")
}

/// Asserts that the second after the first one had more than `least` visits, and that nobody waited long.
#[track_caller]
fn assert_quick(crowd: &Crowd, least: usize) {
    let visits = crowd.visits.iter().filter(|visit| visit.entered >= SECOND).count();
    assert!(visits > least, "{visits} a second, where one alone has 16 000");
    let longest = longest_wait(&crowd.visits, SECOND);
    assert!(longest < 20 * MS, "somebody waited {longest:?}");
}

#[test]
fn processes_that_come_back_at_once_take_turns() {
    let mut crowd = Crowd::new(&[Habit::busy(5 * MS); 4]);
    crowd.run_until(4 * SECOND);
    let shares = crowd.shares(SECOND);
    assert!(jain(&shares) > 0.999, "{shares:?}");
    let efficiency = crowd.efficiency(SECOND);
    assert!(efficiency > 0.93, "the lock was held {efficiency:.3} of the time");
    let longest = longest_wait(&crowd.visits, SECOND);
    assert!(
        longest < 25 * MS,
        "somebody waited {longest:?} for three bodies of 5 ms"
    );
    let each = crowd.commands.len() / crowd.visits.len();
    assert!(each < 60, "{each} commands for each turn");
}

#[test]
fn sixteen_contenders_each_get_at_least_a_quarter_of_their_fair_share() {
    for body in [MS / 5, 2 * MS] {
        let mut crowd = Crowd::new(&[Habit::busy(body); 16]);
        crowd.run_until(4 * SECOND);
        let shares = crowd.shares(SECOND);
        let fair = shares.iter().sum::<usize>() / shares.len();
        assert!(shares.iter().all(|share| *share >= fair / 4), "{body:?}: {shares:?}");
    }
}

#[test]
fn short_sections_are_not_slowed_down_to_one_a_hand_over() {
    let mut crowd = Crowd::new(&[Habit::busy(Duration::ZERO); 4]);
    crowd.run_until(2 * SECOND);
    assert_quick(&crowd, 8_000);
}

#[test]
fn a_long_wait_costs_few_looks() {
    let holder = Habit {
        rest: None,
        ..Habit::busy(60 * SECOND)
    };
    let waiter = Habit {
        begins: MS,
        ..Habit::busy(5 * MS)
    };
    let mut crowd = Crowd::new(&[holder, waiter, waiter, waiter, waiter]);
    crowd.run_until(12 * SECOND);
    let looks = crowd.commands.iter().filter(|(when, _)| *when >= 2 * SECOND).count();
    assert!(looks <= 40 * 10, "{looks} commands in ten seconds of four waiters");
    assert!(looks >= 19 * 10, "the first looks each `interval`");
    crowd.run_until(60 * SECOND + 2 * INTERVAL);
    assert!(
        crowd.visits.iter().any(|visit| visit.who != 0),
        "the first noticed that the lock is free"
    );
}

#[test]
fn waiters_that_can_be_woken_cost_few_looks_from_the_beginning() {
    let holder = Habit {
        rest: None,
        ..Habit::busy(60 * SECOND)
    };
    let waiter = Habit {
        begins: MS,
        ..wakeable(5 * MS)
    };
    let mut crowd = Crowd::new(&[holder, waiter, waiter, waiter, waiter]);
    crowd.run_until(10 * SECOND);
    let looks = crowd.commands.len();
    // Each of the five processes tries once, with a clock, an add and a counter.
    assert!(looks <= 410, "{looks} commands in ten seconds of four waiters");
}

#[test]
fn dead_processes_in_line_cost_a_moment_and_are_removed() {
    let dying = Habit {
        dies: 2 * SECOND + 12 * MS,
        ..Habit::busy(5 * MS)
    };
    let mut crowd = Crowd::new(&[Habit::busy(5 * MS), Habit::busy(5 * MS), Habit::busy(5 * MS), dying]);
    crowd.run_until(2 * SECOND);
    // The process must die while it waits. A process that dies while it holds the lock is in the list, too, as the
    // first.
    crowd.run_until(2 * SECOND + 13 * MS);
    assert!(crowd.line()[1..].contains(&3), "{:?}", crowd.line());
    crowd.run_until(5 * SECOND);
    assert!(!crowd.line().contains(&3), "{:?}", crowd.line());
    let longest = longest_wait(&crowd.visits, 2 * SECOND);
    assert!(longest < 60 * MS, "somebody waited {longest:?}");
    assert!(crowd.efficiency(3 * SECOND) > 0.93, "they go on as fast as before");
}

#[test]
fn a_process_that_was_slow_once_is_not_taken_for_dead() {
    let slow = Habit {
        stopped: (SECOND, SECOND + 30 * MS),
        ..Habit::busy(5 * MS)
    };
    let mut crowd = Crowd::new(&[Habit::busy(5 * MS), Habit::busy(5 * MS), Habit::busy(5 * MS), slow]);
    crowd.run_until(SECOND + 100 * MS);
    let passed = crowd
        .visits
        .iter()
        .filter(|visit| visit.entered >= SECOND && visit.who != 3)
        .count();
    assert!(passed >= 6, "it was not waited for: {passed}");
    // It has kept its place, so it goes next.
    let comes_back = SECOND + 30 * MS;
    let its = |visit: &&Visit| visit.who == 3 && visit.entered >= comes_back;
    let entered = crowd.visits.iter().find(its).expect("its turn").entered;
    assert!(entered < comes_back + 12 * MS, "it entered at {entered:?}");
    // Long enough for a process that passed it to take it for dead.
    crowd.run_until(2 * SECOND);
    let is_in_line = |millisecond| {
        crowd.run_until(2 * SECOND + millisecond * MS);
        crowd.line().contains(&3)
    };
    // It is in the list, except for the moments between leaving and joining.
    let stood = (0..1_000).map(is_in_line).filter(|is_in_line| *is_in_line).count();
    assert!(stood > 980, "it stood in line for {stood} ms of a second");
    let longest = longest_wait(&crowd.visits, SECOND + 100 * MS);
    assert!(longest < 25 * MS, "somebody waited {longest:?}");
}

#[test]
fn nobody_is_left_in_line_without_waiting() {
    let once = |begins: u32| Habit {
        begins: begins * MS,
        rest: None,
        ..Habit::busy(30 * MS)
    };
    let mut crowd = Crowd::new(&[once(0), once(1), once(2), once(3)]);
    crowd.run_until(25 * MS);
    assert_eq!(crowd.line(), [1, 2, 3]);
    crowd.run_until(SECOND);
    assert_eq!(
        crowd.visits.iter().map(|visit| visit.who).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(crowd.line(), []);
}

#[test]
fn a_process_alone_pays_nothing_for_the_wait_list() {
    let mut crowd = Crowd::new(&[Habit::busy(Duration::ZERO)]);
    crowd.run_until(SECOND);
    // Four commands for each visit, and a look at the list each half a millisecond.
    assert!(crowd.commands.len() <= 4 * crowd.visits.len() + 2_100);
    assert!(crowd.line().is_empty());
}

#[test]
fn a_lost_wait_list_costs_one_turn() {
    let mut crowd = Crowd::new(&[Habit::busy(5 * MS); 4]);
    for second in 1..20 {
        crowd.run_until(second * SECOND / 2);
        crowd.items.flush();
    }
    let shares = crowd.shares(SECOND);
    assert!(jain(&shares) > 0.99, "{shares:?}");
}

#[test]
fn woken_processes_enter_at_once_and_look_less() {
    let mut crowd = Crowd::new(&[wakeable(5 * MS); 4]);
    crowd.run_until(4 * SECOND);
    let shares = crowd.shares(SECOND);
    assert!(jain(&shares) > 0.999, "{shares:?}");
    let efficiency = crowd.efficiency(SECOND);
    assert!(efficiency > 0.96, "the lock was held {efficiency:.3} of the time");
    let each = crowd.commands.len() / crowd.visits.len();
    assert!(each < 25, "{each} commands for each turn");
}

/// Comes back at once, for ever, and can be woken.
fn wakeable(body: Duration) -> Habit {
    Habit {
        can_be_woken: true,
        ..Habit::busy(body)
    }
}

#[test]
fn processes_that_can_be_woken_hand_over_short_sections_each_time() {
    let mut crowd = Crowd::new(&[wakeable(Duration::ZERO); 4]);
    crowd.run_until(2 * SECOND);
    let visits = || crowd.visits.iter().filter(|visit| visit.entered >= SECOND);
    let handovers = visits()
        .zip(visits().skip(1))
        .filter(|(one, next)| one.who != next.who)
        .count();
    // A wake-up takes 50 µs, and an `add` 30. The release takes another 30, and is under way meanwhile.
    assert!(handovers > 10_000, "{handovers} hand-overs a second");
    let shares = crowd.shares(SECOND);
    assert!(jain(&shares) > 0.999, "{shares:?}");
    let longest = longest_wait(&crowd.visits, SECOND);
    assert!(longest < MS, "somebody waited {longest:?}");
    // Clock, add, counter, list; list, delete; and some looks.
    let ten = 10 * crowd.commands.len() / crowd.visits.len();
    assert!(ten < 65, "{ten} commands for each ten turns");
}

#[test]
fn short_sections_are_not_slowed_down_by_lost_wake_ups() {
    let mut crowd = Crowd::new(&[wakeable(Duration::ZERO); 4]);
    crowd.are_wake_ups_lost = true;
    crowd.run_until(2 * SECOND);
    assert_quick(&crowd, 5_000);
}

#[test]
fn a_process_that_does_not_come_back_leaves_the_line() {
    let leaves = Habit {
        ends: SECOND,
        ..wakeable(Duration::ZERO)
    };
    let mut crowd = Crowd::new(&[wakeable(Duration::ZERO), wakeable(Duration::ZERO), leaves, leaves]);
    crowd.run_until(SECOND + 30 * MS);
    let line = crowd.line();
    assert!(line.iter().all(|who| *who < 2), "{line:?}");
    let longest = longest_wait(&crowd.visits, SECOND);
    assert!(longest < 15 * MS, "somebody waited {longest:?}");
    let mut crowd = Crowd::new(&[leaves; 2]);
    crowd.run_until(SECOND + 30 * MS);
    assert_eq!(crowd.line(), [], "nobody is left there");
}

#[test]
fn wake_ups_in_vain_cause_a_look_now_and_then() {
    let holder = Habit {
        rest: None,
        ..Habit::busy(60 * SECOND)
    };
    let waiter = Habit {
        begins: MS,
        ..wakeable(5 * MS)
    };
    let mut crowd = Crowd::new(&[holder, waiter]);
    crowd.run_until(SECOND);
    let before = crowd.commands.len();
    for tenth in 1..=10_000 {
        crowd.wake(1);
        crowd.run_until(SECOND + tenth * MS / 10);
    }
    // A look each millisecond.
    let caused = crowd.commands.len() - before;
    assert!((500..=1_000).contains(&caused), "{caused} commands in a second");
}

#[test]
fn lost_wake_ups_cost_time_and_nothing_else() {
    let mut crowd = Crowd::new(&[wakeable(5 * MS); 4]);
    crowd.are_wake_ups_lost = true;
    crowd.run_until(4 * SECOND);
    let shares = crowd.shares(SECOND);
    assert!(jain(&shares) > 0.9, "{shares:?}");
    let efficiency = crowd.efficiency(SECOND);
    // As fast as without wake-ups, once the processes have noticed that none arrive.
    assert!(efficiency > 0.93, "the lock was held {efficiency:.3} of the time");
}

/// Asserts that each process had at least a quarter of its fair share since the first second.
#[track_caller]
fn assert_fair(crowd: &Crowd) {
    let shares = crowd.shares(SECOND);
    let fair = shares.iter().sum::<usize>() / shares.len();
    assert!(fair >= 4, "they had {fair} turns each");
    assert!(shares.iter().all(|share| *share >= fair / 4), "{fair}: {shares:?}");
}

#[test]
fn two_hundred_processes_all_have_their_turns() {
    for habit in [Habit::busy(5 * MS), wakeable(5 * MS)] {
        let mut crowd = Crowd::new(&vec![habit; 200]);
        crowd.run_until(8 * SECOND);
        assert_fair(&crowd);
        let efficiency = crowd.efficiency(SECOND);
        assert!(efficiency > 0.93, "the lock was held {efficiency:.3} of the time");
        let turns = crowd.visits.len();
        let (commands, entries) = (crowd.commands.len() / turns, crowd.entries / turns);
        assert!(commands < 100, "{commands} commands for each turn");
        // Some 25 bytes each, or 60 of those that can be woken.
        assert!(entries < 4_000, "{entries} entries for each turn");
    }
}

#[test]
fn processes_that_find_the_wait_list_full_have_their_turns() {
    let mut crowd = Crowd::new(&vec![Habit::busy(3 * MS); 300]);
    crowd.run_until(10 * SECOND);
    assert_fair(&crowd);
}

#[test]
fn many_that_die_at_once_cost_one_grace_and_are_removed_together() {
    const DEAD: usize = 60;
    for can_be_woken in [false, true] {
        let habit = Habit {
            can_be_woken,
            ..Habit::busy(5 * MS)
        };
        let holder = Habit {
            body: 200 * MS,
            rest: None,
            ..habit
        };
        let dying = Habit {
            begins: MS,
            dies: 100 * MS,
            ..habit
        };
        let living = Habit {
            begins: 120 * MS,
            ..habit
        };
        let mut habits = vec![holder];
        habits.extend([dying; DEAD]);
        habits.extend([living; 4]);
        let mut crowd = Crowd::new(&habits);
        crowd.run_until(190 * MS);
        let mut dead_in_line = Vec::new();
        while crowd.now < SECOND {
            let line = crowd.line();
            dead_in_line.push(line.iter().filter(|who| (1..=DEAD).contains(*who)).count());
            crowd.run_until(crowd.now + MS);
        }
        dead_in_line.dedup();
        assert_eq!(dead_in_line, [DEAD, 0]);
        let gaps: Vec<Duration> = crowd
            .visits
            .windows(2)
            .map(|pair| pair[1].entered - pair[0].left)
            .collect();
        // An eighth of what the last holder took is 25 ms.
        assert!(gaps[0] < 80 * MS, "they were waited for: {:?}", gaps[0]);
        assert!(gaps[1..].iter().all(|gap| *gap < 2 * MS), "{gaps:?}");
    }
}

#[test]
fn a_first_member_that_looks_seldom_is_not_passed() {
    let holder = Habit {
        rest: None,
        ..Habit::busy(3 * SECOND)
    };
    let seldom = Habit {
        begins: MS,
        interval: SECOND,
        ..Habit::busy(5 * MS)
    };
    let often = Habit {
        begins: 10 * MS,
        interval: 10 * MS,
        ..Habit::busy(5 * MS)
    };
    let mut crowd = Crowd::new(&[holder, seldom, often]);
    crowd.run_until(4 * SECOND);
    let order: Vec<usize> = crowd.visits.iter().map(|visit| visit.who).take(2).collect();
    assert_eq!(order, [0, 1]);
}

#[test]
fn processes_that_give_up_leave_the_line() {
    let holder = Habit {
        rest: None,
        ..Habit::busy(10 * SECOND)
    };
    let gives_up = Habit {
        begins: MS,
        wait: Some(100 * MS),
        rest: None,
        ..Habit::busy(MS)
    };
    let mut crowd = Crowd::new(&[&[holder][..], &[gives_up; 20]].concat());
    crowd.run_until(50 * MS);
    assert_eq!(crowd.line().len(), 20);
    crowd.run_until(200 * MS);
    assert_eq!((crowd.given_up.len(), crowd.line()), (20, Vec::new()));
}

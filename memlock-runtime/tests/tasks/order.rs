//! Threads and tasks take turns in one queue.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use memlock_runtime::Locks;
use memlock_testkit::wait_until;

use crate::executors::{Executor, block_on, poll_once};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn threads_and_tasks_take_turns_in_the_order_of_arrival() {
    for executor in Executor::ALL {
        let (locks, server) = Locks::in_memory();
        let order = Arc::new(Mutex::new(Vec::new()));
        let held = locks.lock("k").acquire().expect("it is free");
        let mut threads = Vec::new();
        for number in 0..8 {
            let (locks, order) = (locks.clone(), Arc::clone(&order));
            let is_thread = number % 3 == 0;
            threads.push(std::thread::spawn(move || {
                if is_thread {
                    let guard = locks.lock("k").acquire().expect("its turn");
                    order.lock().expect("no panic").push((number, guard.token()));
                } else {
                    executor.run(executor_task(executor, locks, order, number));
                }
            }));
            wait_until("the waiter to be in line", PATIENCE, || {
                server.waiting("lock", "k") == number + 1
            });
        }
        held.release();
        for thread in threads {
            thread.join().expect("no panic");
        }
        let order = order.lock().expect("no panic");
        let numbers: Vec<usize> = order.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..8).collect::<Vec<_>>(), "{executor:?}");
        assert!(order.is_sorted_by(|one, next| one.1 < next.1), "tokens rise: {order:?}");
    }
}

async fn executor_task(
    executor: Executor,
    locks: Locks,
    order: Arc<Mutex<Vec<(usize, memlock_runtime::Token)>>>,
    number: usize,
) {
    let task = async move {
        let guard = locks.lock("k").acquire_async().await.expect("its turn");
        order.lock().expect("no panic").push((number, guard.token()));
        guard.release().await;
    };
    executor.start(task).await;
}

#[test]
fn a_waiter_that_gives_up_lets_the_next_pass() {
    let (locks, server) = Locks::in_memory();
    let held = locks.lock("k").acquire().expect("it is free");
    let mut gives_up = Box::pin(locks.lock("k").acquire_async());
    assert!(poll_once(gives_up.as_mut()).is_pending());
    assert_eq!(server.waiting("lock", "k"), 1);
    std::thread::scope(|scope| {
        let next = scope.spawn(|| block_on(locks.lock("k").acquire_async()).is_ok());
        wait_until("the second in line", PATIENCE, || server.waiting("lock", "k") == 2);
        drop(gives_up);
        assert_eq!(server.waiting("lock", "k"), 1);
        drop(held);
        assert!(next.join().expect("no panic"));
    });
}

#[test]
fn a_waiter_that_gives_up_after_a_hand_over_to_it_passes_the_lock_on() {
    let (locks, server) = Locks::in_memory();
    let held = locks.lock("k").acquire().expect("it is free");
    let mut gives_up = Box::pin(locks.lock("k").acquire_async());
    assert!(poll_once(gives_up.as_mut()).is_pending());
    let mut next = Box::pin(locks.lock("k").acquire_async());
    assert!(poll_once(next.as_mut()).is_pending());
    // The lock is handed over to the first waiter, which is not polled again.
    drop(held);
    assert!(poll_once(next.as_mut()).is_pending());
    drop(gives_up);
    assert!(block_on(next).is_ok());
    assert!(locks.flush(PATIENCE));
    assert!(server.other_process().lock("k").try_acquire().is_ok());
}

#[test]
fn the_next_task_steps_in_when_a_lease_ends() {
    let (locks, server) = Locks::in_memory();
    let stuck = locks
        .lock("k")
        .timeout(Duration::from_secs(30))
        .acquire()
        .expect("it is free");
    std::thread::scope(|scope| {
        let next = scope.spawn(|| block_on(locks.lock("k").acquire_async()).map(|guard| guard.token()));
        wait_until("the task in line", PATIENCE, || server.waiting("lock", "k") == 1);
        server.advance(Duration::from_secs(31));
        assert!(next.join().expect("no panic").expect("its turn") > stuck.token());
    });
    assert!(stuck.check().is_err());
}

//! Real processes, a real memcached, one `SQLite` file.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memlock_testkit::PeerBuilder;

use crate::catalog::Effort;
use crate::contest::Stage;
use crate::run::Run;
use crate::setting::{Place, Setting};
use crate::ways::Way;
use crate::{demo, process};

#[test]
#[ignore = "a role in other tests, which start it as a process of its own"]
fn works() {
    if let Some(parent) = process::role() {
        let _said = process::live(parent);
    }
}

pub(super) fn program() -> PeerBuilder {
    process::program().test("tests::counts::works")
}

/// All writers use the same catalogue, and wait for other systems while they compute.
pub(super) const ONE_CATALOGUE: Setting = Setting {
    writers: 4,
    catalogues: 1,
    documents: 48,
    effort: Effort {
        wait: Duration::from_millis(20),
        steps: 1_000,
    },
    clicks: false,
};

/// All writers use the same catalogue, and only the processor.
const COMPUTING: Setting = Setting {
    writers: 8,
    catalogues: 1,
    documents: 24,
    // So much work that the cost of waiting hardly shows, which grows with the load of the machine.
    effort: Effort {
        wait: Duration::ZERO,
        steps: 120_000,
    },
    clicks: false,
};

#[test]
fn a_lock_saves_the_computations_that_optimism_throws_away() {
    let (stage, _alone) = stage("demo");
    let [optimistic, exclusive, lock, zlock] =
        [Way::Optimistic, Way::Exclusive, Way::Lock, Way::Zlock].map(|way| run(&stage, way, demo::SETTING));
    assert!(optimistic.percent_thrown_away() >= 30);
    for run in [&exclusive, &lock, &zlock] {
        assert_nothing_in_vain(run);
    }
    // Clicks for the same number of documents: at least 100 for every 5 under the database's lock.
    for run in [lock, zlock] {
        assert!(run.clicks() >= 100, "{} clicks", run.clicks());
        assert!(
            5 * run.clicks() >= 100 * exclusive.clicks(),
            "{} clicks, and {} while the file is locked",
            run.clicks(),
            exclusive.clicks()
        );
    }
}

#[test]
fn four_writers_of_one_catalogue_throw_most_away_without_a_lock() {
    let (stage, _alone) = stage("one");
    assert!(run(&stage, Way::Optimistic, ONE_CATALOGUE).percent_thrown_away() >= 60);
    for way in [Way::Lock, Way::Zlock] {
        assert_nothing_in_vain(&run(&stage, way, ONE_CATALOGUE));
    }
}

#[test]
fn eight_computing_writers_take_a_third_of_the_processor_time_with_a_lock() {
    // The median of three rounds: a single round may have few conflicts by chance, or run on a busy machine.
    let mut rounds: [Vec<Duration>; 3] = Default::default();
    for round in 1..=3 {
        let (stage, _alone) = stage(&format!("computing-{round}"));
        let runs = [Way::Optimistic, Way::Lock, Way::Zlock].map(|way| run(&stage, way, COMPUTING));
        let [optimistic, locked @ ..] = &runs;
        for run in locked {
            assert_nothing_in_vain(run);
            let (locked, without) = (run.started(), optimistic.started());
            assert!(
                3 * locked <= without,
                "{locked} computations, and {without} without a lock"
            );
        }
        for (times, run) in rounds.iter_mut().zip(&runs) {
            times.push(run.cpu_per_document());
        }
    }
    let [without, locked @ ..] = rounds.map(|mut times| {
        times.sort_unstable();
        times[1]
    });
    for locked in locked {
        assert!(3 * locked <= without, "{locked:?}, and {without:?} without a lock");
    }
}

/// A snapshot of `SQLite` covers the file, and so does its conflict. A lock for each catalogue does not help.
#[test]
fn locks_by_catalogue_do_not_help_snapshots_of_the_whole_file() {
    let (stage, _alone) = stage("snapshots");
    // With clicks, which are writes to the same file, hardly any transaction would commit.
    let setting = Setting {
        clicks: false,
        ..demo::SETTING
    };
    let run = run(&stage, Way::ZlockSnapshot, setting);
    assert!(run.percent_thrown_away() >= 35);
}

/// One contest at a time: two would compete for the processors.
pub(super) fn stage(name: &str) -> (Stage, MutexGuard<'static, ()>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::set(name, program).expect("a folder for the files");
    (stage, alone)
}

fn run(stage: &Stage, way: Way, setting: Setting) -> Run {
    run_in(stage, way, setting, &stage.file(way))
}

/// Runs a contest, and checks that each document is indexed once.
pub(super) fn run_in(stage: &Stage, way: Way, setting: Setting, place: &Place) -> Run {
    let run = stage.run(way, setting, place).expect("all processes do their work");
    println!(
        "{}: {} documents, {} computations, {} % thrown away, {:.1?} of CPU each, {} clicks, {:.1?}",
        way.name(),
        run.committed(),
        run.started(),
        run.percent_thrown_away(),
        run.cpu_per_document(),
        run.clicks(),
        run.elapsed
    );
    assert_eq!(run.committed(), setting.documents as usize);
    assert_eq!(run.lost_updates(), 0, "{}", way.name());
    assert_eq!(run.unlocked(), 0, "{}", way.name());
    run
}

pub(super) fn assert_nothing_in_vain(run: &Run) {
    let way = run.way.name();
    assert!(run.percent_thrown_away() <= 2, "{way}: {} %", run.percent_thrown_away());
    let limit = (run.setting.documents + run.setting.writers) as usize;
    assert!(run.started() <= limit, "{way}: {} computations", run.started());
}

//! The demo: some of the ways, one after the other, then the table and the timeline.

use std::process::ExitCode;
use std::time::Duration;

use crate::Result;
use crate::catalog::Effort;
use crate::contest::Stage;
use crate::process;
use crate::run::Run;
use crate::setting::Setting;
use crate::ways::Way;
use crate::{report, timeline};

/// Two writers for each catalogue. They mostly wait for other systems, so the processors are not the limit.
pub(crate) const SETTING: Setting = Setting {
    writers: 8,
    catalogues: 4,
    documents: 160,
    effort: Effort {
        wait: Duration::from_millis(20),
        steps: 10_000,
    },
    clicks: true,
};

const IN_SQLITE: &[(Way, &str)] = &[
    (
        Way::Optimistic,
        "no writer waits; it computes again if its catalogue was written meanwhile",
    ),
    (Way::Exclusive, "BEGIN IMMEDIATE, compute, COMMIT"),
    (Way::Lock, "#[memlock::lock] over the same function"),
    (
        Way::Zlock,
        "#[memlock::zlock] over the same function, in memlock::transaction()",
    ),
];

/// The demo over the database of this name, `SQLite` where none is given.
pub(crate) fn show(database: Option<&str>) -> Result<ExitCode> {
    match database {
        None => in_sqlite(),
        #[cfg(feature = "postgres")]
        Some("postgres") => in_postgres(),
        Some(other) => Err(format!("there is no demo over \"{other}\" in this build").into()),
    }
}

fn in_sqlite() -> Result<ExitCode> {
    let stage = Stage::set("demo", process::program)?;
    introduce("one SQLite file", IN_SQLITE);
    let runs = IN_SQLITE
        .iter()
        .map(|(way, _)| stage.run(*way, SETTING, &stage.file(*way)));
    conclude("catalog", &runs.collect::<Result<Vec<Run>>>()?)
}

#[cfg(feature = "postgres")]
const IN_POSTGRES: &[(Way, &str)] = &[
    (
        Way::Optimistic,
        "no writer waits; it computes again if its catalogue was written meanwhile",
    ),
    (
        Way::Exclusive,
        "SELECT ... FOR UPDATE, compute, COMMIT: with a transaction open all the time",
    ),
    (Way::Lock, "#[memlock::lock] over the same function"),
    (
        Way::Zlock,
        "#[memlock::zlock] over the same function, in memlock::transaction()",
    ),
    (Way::Snapshot, "computes inside a REPEATABLE READ transaction"),
    (
        Way::ZlockSnapshot,
        "the same behind #[memlock::zlock], taken before the snapshot",
    ),
];

#[cfg(feature = "postgres")]
fn in_postgres() -> Result<ExitCode> {
    let stage = Stage::set("postgres-demo", process::program)?;
    let server = stage.start_postgres()?;
    introduce("one PostgreSQL", IN_POSTGRES);
    let place = crate::setting::Place::Server(server.address());
    let runs = IN_POSTGRES.iter().map(|(way, _)| stage.run(*way, SETTING, &place));
    conclude("catalog-postgres", &runs.collect::<Result<Vec<Run>>>()?)
}

fn introduce(database: &str, ways: &[(Way, &str)]) {
    let Setting {
        writers,
        catalogues,
        documents,
        ..
    } = SETTING;
    println!("{writers} processes index {documents} passages of text into {catalogues} catalogues in {database}:");
    println!("read the catalogue, compute, write, while another process writes clicks. The ways:\n");
    for (way, meaning) in ways {
        println!("  {:<14} {meaning}", way.name());
    }
    println!();
}

fn conclude(name: &str, runs: &[Run]) -> Result<ExitCode> {
    report::table(runs);
    let is_correct = runs.iter().all(|run| run.lost_updates() == 0 && run.unlocked() == 0);
    if !is_correct {
        println!("Updates were LOST, or a body ran without its lock. This must not happen: please report it.");
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "No update was lost in any of the ways: each commit checks the version. The ways differ in the work that they waste."
    );
    println!(
        "What each process did, and when: {}",
        timeline::draw(name, runs)?.display()
    );
    Ok(ExitCode::SUCCESS)
}

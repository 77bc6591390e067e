//! The contest: the same requests to the same number of instances, without and with the lock.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use memlock_testkit::Memcached;
use tokio::select;

use crate::Result;
use crate::box_office::BoxOffice;
use crate::customers::{self, CUSTOMERS, EVENTS, REQUESTS_PER_CUSTOMER, SEATS};
use crate::report::{self, Run};
use crate::server::{self, Instance};

const INSTANCES: usize = 3;
/// Quicker than any payment provider.
const PAYMENT: Duration = Duration::from_millis(5);

/// Both runs, and the table. Ctrl-C and SIGTERM end it, and all processes that it has started.
#[tokio::main]
pub(crate) async fn hold() -> Result<ExitCode> {
    let instances = match env::args().nth(1) {
        Some(number) => number
            .parse()
            .ok()
            .filter(|number| (1..=100).contains(number))
            .ok_or_else(|| format!("the number of instances is from 1 to 100, not \"{number}\""))?,
        None => INSTANCES,
    };
    let signalled = server::signalled()?;
    select! {
        done = both(instances) => done,
        () = signalled => Err("stopped".into()),
    }
}

async fn both(instances: usize) -> Result<ExitCode> {
    println!("{instances} instances of one web service sell the tickets of {EVENTS} events with {SEATS} seats each:");
    println!(
        "read what is sold, wait for the payment, write. {CUSTOMERS} customers send {REQUESTS_PER_CUSTOMER} requests each.\n"
    );

    let folder = Folder::new()?;
    // memlock does not use a server in its first two seconds. The run without locks comes first.
    let memcached = Memcached::start_young();
    let without = run(&folder.0.join("without.sqlite"), instances, None).await?;
    memcached.wait_until_usable();
    let with = run(&folder.0.join("with.sqlite"), instances, Some(&memcached.address())).await?;

    report::table(&without, &with);
    Ok(if with.is_correct() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Sends all requests once, to new instances with an empty file; with the lock if servers are given.
async fn run(file: &Path, instances: usize, servers: Option<&str>) -> Result<Run> {
    let box_office = BoxOffice::create(file, EVENTS, SEATS).await?;
    let instances = (0..instances)
        .map(|_| Instance::start(Instance::program(), file, PAYMENT, servers))
        .collect::<Result<Vec<Instance>>>()?;
    let addresses: Vec<SocketAddr> = instances.iter().map(|instance| instance.address).collect();

    let begun = Instant::now();
    let answers = customers::come(&addresses).await?;
    let elapsed = begun.elapsed();

    instances.into_iter().try_for_each(Instance::stop)?;
    Ok(Run {
        instances: addresses.len(),
        answers,
        elapsed,
        booked: box_office.total().await?,
    })
}

/// A folder for the files of one run of the example, removed in the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("memlock-tickets-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system removes from its temporary folder what cannot be removed here.
        let _ = fs::remove_dir_all(&self.0);
    }
}

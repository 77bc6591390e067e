//! How much work there is, for how many processes, and where; and the task of one process.

use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::{CatalogError, Effort};
#[cfg(feature = "postgres")]
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::store::Store;
use crate::ways::Way;

/// The parameters that all runs of one contest share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) writers: u32,
    pub(crate) catalogues: usize,
    pub(crate) documents: u32,
    pub(crate) effort: Effort,
    /// Whether another process writes clicks meanwhile.
    pub(crate) clicks: bool,
}

/// Where the catalogues are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Server(String),
}

/// The task of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) way: Way,
    pub(crate) catalogues: usize,
    pub(crate) documents: u32,
    pub(crate) effort: Effort,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Index documents.
    Index,
    /// Click, until told to stop.
    Click,
}

impl Place {
    pub(crate) fn create(&self, catalogues: &[String]) -> Result<Box<dyn Store>, CatalogError> {
        Ok(match self {
            Self::File(path) => Box::new(Sqlite::create(path, catalogues)?),
            #[cfg(feature = "postgres")]
            Self::Server(address) => Box::new(Postgres::create(address, catalogues)?),
        })
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Store>, CatalogError> {
        Ok(match self {
            Self::File(path) => Box::new(Sqlite::open(path)?),
            #[cfg(feature = "postgres")]
            Self::Server(address) => Box::new(Postgres::open(address)?),
        })
    }

    fn to_text(&self) -> String {
        match self {
            Self::File(path) => format!("file {}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Server(address) => format!("server {address}"),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("file", path) => Some(Self::File(path.into())),
            #[cfg(feature = "postgres")]
            ("server", address) => Some(Self::Server(address.to_owned())),
            _ => None,
        }
    }
}

impl Task {
    /// The line that is sent to the process.
    pub(crate) fn to_text(&self) -> String {
        let Self {
            job,
            way,
            catalogues,
            documents,
            effort: Effort { wait, steps },
            place,
        } = self;
        let job = match job {
            Job::Index => "index",
            Job::Click => "click",
        };
        let (way, wait, place) = (way.name(), wait.as_micros(), place.to_text());
        format!("{job} {way} {catalogues} {documents} {wait} {steps} {place}")
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(7, ' ');
        let job = match words.next()? {
            "index" => Job::Index,
            "click" => Job::Click,
            _ => return None,
        };
        Some(Self {
            job,
            way: Way::from_name(words.next()?)?,
            catalogues: words.next()?.parse().ok()?,
            documents: words.next()?.parse().ok()?,
            effort: Effort {
                wait: Duration::from_micros(words.next()?.parse().ok()?),
                steps: words.next()?.parse().ok()?,
            },
            place: Place::from_text(words.next()?)?,
        })
    }
}

/// The catalogues' paths.
pub(crate) fn paths(catalogues: usize) -> Vec<String> {
    (1..=catalogues)
        .map(|number| format!("/site/catalog-{number}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Job, Place, Task};
    use crate::catalog::Effort;
    use crate::ways::Way;

    #[test]
    fn a_task_survives_its_way_to_the_process() {
        for job in [Job::Index, Job::Click] {
            let task = Task {
                job,
                way: Way::Exclusive,
                catalogues: 4,
                documents: 160,
                effort: Effort {
                    wait: Duration::from_millis(20),
                    steps: 50_000,
                },
                place: Place::File("/tmp/a folder/file".into()),
            };
            assert_eq!(Task::from_text(&task.to_text()), Some(task));
        }
        assert_eq!(Task::from_text("index by-hand 4 160 20000 50000 file x"), None);
    }
}

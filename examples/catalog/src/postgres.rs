//! The catalogues in a `PostgreSQL`.

use std::cell::RefCell;

use postgres::{Client, NoTls};

use crate::catalog::CatalogError;
use crate::store::{Store, Stored, Transaction};

pub(crate) struct Postgres {
    // A statement borrows the client mutably, and the functions of one thread share the store.
    client: RefCell<Client>,
}

impl Postgres {
    /// Makes the tables anew, with empty catalogues.
    pub(crate) fn create(address: &str, catalogues: &[String]) -> Result<Self, CatalogError> {
        let postgres = Self::open(address)?;
        let mut client = postgres.client.borrow_mut();
        client.batch_execute(
            "DROP TABLE IF EXISTS catalog, click;
             CREATE TABLE catalog (path TEXT PRIMARY KEY, version BIGINT, documents BIGINT, words TEXT);
             CREATE TABLE click (number BIGSERIAL PRIMARY KEY);",
        )?;
        for path in catalogues {
            client.execute("INSERT INTO catalog VALUES ($1, 0, 0, '0')", &[path])?;
        }
        drop(client);
        Ok(postgres)
    }

    pub(crate) fn open(address: &str) -> Result<Self, CatalogError> {
        Ok(Self {
            client: RefCell::new(Client::connect(address, NoTls)?),
        })
    }

    fn select(&self, select: &str, path: &str) -> Result<Stored, CatalogError> {
        let row = self.client.borrow_mut().query_one(select, &[&path])?;
        Ok(Stored {
            version: row.try_get(0)?,
            documents: count(row.try_get(1)?),
            index: row.try_get(2)?,
        })
    }

    fn execute(&self, statement: &str) -> Result<(), CatalogError> {
        Ok(self.client.borrow_mut().batch_execute(statement)?)
    }
}

impl Store for Postgres {
    fn read(&self, path: &str) -> Result<Stored, CatalogError> {
        self.select("SELECT version, documents, words FROM catalog WHERE path = $1", path)
    }

    fn read_for_update(&self, path: &str) -> Result<Stored, CatalogError> {
        let select = "SELECT version, documents, words FROM catalog WHERE path = $1 FOR UPDATE";
        self.select(select, path)
    }

    fn update(&self, path: &str, stored: &Stored) -> Result<(), CatalogError> {
        let update =
            "UPDATE catalog SET version = version + 1, documents = $1, words = $2 WHERE path = $3 AND version = $4";
        let documents = i64::from(stored.documents);
        let mut client = self.client.borrow_mut();
        match client.execute(update, &[&documents, &stored.index, &path, &stored.version])? {
            0 => Err(CatalogError::Stale),
            _ => Ok(()),
        }
    }

    fn begin(&self, transaction: Transaction) -> Result<(), CatalogError> {
        self.execute(match transaction {
            Transaction::Locking => "BEGIN ISOLATION LEVEL READ COMMITTED",
            // The snapshot is not taken here, but by the first statement.
            Transaction::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        })
    }

    fn commit(&self) -> Result<(), CatalogError> {
        self.execute("COMMIT")
    }

    fn rollback(&self) -> Result<(), CatalogError> {
        self.execute("ROLLBACK")
    }

    fn click(&self) -> Result<(), CatalogError> {
        self.execute("INSERT INTO click DEFAULT VALUES")
    }

    fn documents(&self) -> Result<u32, CatalogError> {
        let sum = "SELECT sum(documents)::BIGINT FROM catalog";
        let row = self.client.borrow_mut().query_one(sum, &[])?;
        Ok(count(row.try_get(0)?))
    }
}

fn count(documents: i64) -> u32 {
    u32::try_from(documents).expect("it has only been counted up, from 0")
}

//! One key function for all methods of a type. It takes the first arguments of the locked methods, here only `self`.
//!
//! All methods with `catalog_key` and `name = "catalog"` exclude each other, for the same catalog.
//! `cargo run --example key_function`

use std::sync::Mutex;

use memlock::Locks;

/// A list of documents that many processes write to.
struct Catalog {
    path: String,
    documents: Mutex<Vec<String>>,
}

/// The key for the methods of one catalog.
fn catalog_key(catalog: &Catalog) -> String {
    catalog.path.clone()
}

impl Catalog {
    #[memlock::lock(catalog_key, name = "catalog")]
    fn add(&self, document: &str) -> Result<usize, memlock::Error> {
        let mut documents = self.documents.lock().expect("no panic while it was held");
        documents.push(document.to_owned());
        Ok(documents.len())
    }

    #[memlock::lock(catalog_key, name = "catalog")]
    fn remove(&self, document: &str, all: bool) -> Result<usize, memlock::Error> {
        let mut documents = self.documents.lock().expect("no panic while it was held");
        if all {
            documents.retain(|other| other != document);
        } else if let Some(position) = documents.iter().position(|other| other == document) {
            documents.remove(position);
        }
        Ok(documents.len())
    }
}

fn main() -> Result<(), memlock::Error> {
    if std::env::var_os("MEMLOCK_SERVERS").is_none() {
        memlock::init(Locks::builder().servers("memory:").build()?)?;
    }
    let catalog = Catalog {
        path: "library/poems".to_owned(),
        documents: Mutex::default(),
    };
    println!("{} document", catalog.add("The Raven")?);
    println!("{} documents", catalog.add("The Tyger")?);
    println!("{} document", catalog.remove("The Raven", true)?);
    Ok(())
}

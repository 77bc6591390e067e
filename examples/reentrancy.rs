//! A locked function that calls itself, or another function with the same name and key. With `rlock` the holder enters
//! again, without a round trip. With `lock` it gets an error, instead of waiting for itself for ever.
//! `cargo run --example reentrancy`

use memlock::Locks;

/// A folder of folders.
struct Folder {
    path: &'static str,
    folders: Vec<Folder>,
}

/// Counts the folders below `folder`, under one lock for the whole tree.
#[memlock::rlock(tree, name = "tree")]
fn count(tree: &str, folder: &Folder) -> Result<usize, memlock::Error> {
    let mut total = 1;
    for inner in &folder.folders {
        total += count(tree, inner)?;
    }
    Ok(total)
}

/// The same with `lock`: a mistake, which is reported as an error.
#[memlock::lock(tree, name = "plain")]
fn count_plainly(tree: &str, folder: &Folder) -> Result<usize, memlock::Error> {
    let mut total = 1;
    for inner in &folder.folders {
        total += count_plainly(tree, inner)?;
    }
    Ok(total)
}

fn main() -> Result<(), memlock::Error> {
    if std::env::var_os("MEMLOCK_SERVERS").is_none() {
        memlock::init(Locks::builder().servers("memory:").build()?)?;
    }
    let leaf = |path| Folder {
        path,
        folders: Vec::new(),
    };
    let tree = Folder {
        path: "/home",
        folders: vec![leaf("/home/ada"), leaf("/home/bob")],
    };
    println!("rlock: {} folders", count(tree.path, &tree)?);
    match count_plainly(tree.path, &tree) {
        Err(error) if error.is_reentered() => println!("lock:  {error}"),
        other => panic!("a plain lock let its own holder in: {other:?}"),
    }
    Ok(())
}

//! The newest memcached that Debian has, for tests: downloaded with its libraries, unpacked below `target/`, and started by
//! its own loader. Nothing is installed, and no file outside `target/` is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's suites that are asked, the newest first. A later one is taken where an earlier one cannot be had: the packages of
/// `sid` may miss each other for days.
const SUITES: &[&str] = &["sid", "trixie"];

/// Where Debian is to be had when the machine does not name a mirror.
const MIRROR: &str = "http://deb.debian.org/debian";

/// The keys of Debian's archive. Without this file apt looks in its usual places.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const ADVICE: &str = "This needs apt-get, dpkg-deb, a Debian mirror and Debian's keys (package debian-archive-keyring). Elsewhere, \
                      name a memcached that is newer than the installed one: \
                      MEMLOCK_TESTKIT_MEMCACHED=/path/to/memcached cargo xtask test";

/// A program that starts the newest memcached with the arguments that it is given. It is downloaded when it is not there yet.
pub(crate) fn newest_memcached() -> Result<PathBuf, String> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debian"));
    let mut problems = Vec::new();
    for suite in SUITES {
        match memcached_of(suite, &folder.join(suite)) {
            Ok(program) => return Ok(program),
            Err(problem) => {
                eprintln!("xtask: no memcached of Debian {suite}: {problem}");
                problems.push(format!("{suite}: {problem}"));
            }
        }
    }
    Err(format!(
        "could not get Debian's newest memcached ({}). {ADVICE}",
        problems.join("; ")
    ))
}

fn memcached_of(suite: &str, folder: &Path) -> Result<PathBuf, String> {
    let program = folder.join("memcached");
    if run(Command::new(&program).arg("-V")).is_err() {
        eprintln!(
            "xtask: memcached of Debian {suite} is downloaded to {}",
            folder.display()
        );
        // Whatever an earlier attempt has left behind.
        let _ = fs::remove_dir_all(folder);
        let root = unpacked(suite, folder)?;
        fs::write(&program, starter(&root)?).map_err(|error| could_not("write", &program, &error))?;
        run(Command::new("chmod").arg("+x").arg(&program))?;
        run(Command::new(&program).arg("-V"))?;
    }
    // The path is handed to processes that run in other folders.
    program
        .canonicalize()
        .map_err(|error| could_not("find", &program, &error))
}

/// Downloads memcached and all that it depends on, and gives the folder in which the packages are unpacked.
fn unpacked(suite: &str, folder: &Path) -> Result<PathBuf, String> {
    let [apt, root] = ["apt", "root"].map(|name| folder.join(name));
    for needed in ["lists/partial", "cache/archives/partial"] {
        let needed = apt.join(needed);
        fs::create_dir_all(&needed).map_err(|error| could_not("create", &needed, &error))?;
    }
    let apt = apt.canonicalize().map_err(|error| could_not("find", &apt, &error))?;
    let (sources, status) = (apt.join("sources.list"), apt.join("status"));
    fs::write(&sources, sources_of(suite)).map_err(|error| could_not("write", &sources, &error))?;
    // As if no package were installed: apt then downloads every library.
    fs::write(&status, "").map_err(|error| could_not("write", &status, &error))?;

    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for (option, value) in [
            ("Dir::Etc::SourceList", sources.as_path()),
            ("Dir::Etc::SourceParts", Path::new("/dev/null")),
            ("Dir::Etc::Preferences", Path::new("/dev/null")),
            ("Dir::Etc::PreferencesParts", Path::new("/dev/null")),
            ("Dir::State", &apt),
            ("Dir::State::Status", &status),
            ("Dir::Cache", &apt.join("cache")),
        ] {
            command.arg("-o").arg(format!("{option}={}", value.display()));
        }
        // A list that cannot be had is an error at once and not a package that is missing later.
        command.args(["-o", "APT::Update::Error-Mode=any"]);
        // As root, apt downloads as a user of its own, who may not enter this folder.
        command.args(["-o", "APT::Sandbox::User=root"]);
        run(command.arg("-qq").args(arguments))
    };
    apt_get(&["update"])?;
    apt_get(&[
        "install",
        "--yes",
        "--download-only",
        "--no-install-recommends",
        "memcached",
    ])?;
    let archives = apt.join("cache/archives");
    let packages = fs::read_dir(&archives).map_err(|error| could_not("read", &archives, &error))?;
    for package in packages.filter_map(Result::ok).map(|entry| entry.path()) {
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root))?;
        }
    }
    // Only what is unpacked is needed from here on.
    let _ = fs::remove_dir_all(&apt);
    Ok(root)
}

fn sources_of(suite: &str) -> String {
    let lists = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten();
    let files = lists.filter_map(Result::ok).map(|entry| entry.path());
    let mut texts = [PathBuf::from("/etc/apt/sources.list")]
        .into_iter()
        .chain(files)
        .filter_map(|file| fs::read_to_string(file).ok());
    let mirror = texts.find_map(|text| mirror_in(&text));
    let keys = if Path::new(KEYS).exists() {
        format!("[signed-by={KEYS}] ")
    } else {
        String::new()
    };
    let mirror = mirror.as_deref().unwrap_or(MIRROR);
    format!("deb {keys}{mirror} {suite} main\n")
}

/// The first mirror of Debian in one of apt's lists of sources, in either of their two formats.
fn mirror_in(sources: &str) -> Option<String> {
    let lines = sources.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with("/debian"))
        .map(str::to_owned)
}

/// A script that starts the memcached below `root` by its own loader: the machine's loader may be too old for its libraries.
fn starter(root: &Path) -> Result<String, String> {
    let memcached = Path::new("usr/bin/memcached");
    let program = fs::read(root.join(memcached)).map_err(|error| could_not("read", memcached, &error))?;
    let loader = loader_of(&program).ok_or("the program does not name its loader")?;
    // The C library's package has the loader beside the libraries, and all other packages have theirs in the same folder.
    let libraries = find(root, "libc.so.6").ok_or("the C library is not among its packages")?;
    let libraries = libraries.parent().unwrap_or(root);
    let loader = libraries.join(loader);
    let below_root = |file: &Path| file.strip_prefix(root).unwrap_or(file).display().to_string();
    Ok(format!(
        "#!/bin/sh\n\
         # Replaces itself, so that memcached has the process id that this was started with.\n\
         root=${{0%/*}}/root\n\
         exec \"$root/{}\" --library-path \"$root/{}\" \"$root/{}\" \"$@\"\n",
        below_root(&loader),
        below_root(libraries),
        memcached.display(),
    ))
}

/// The file name of the loader that an ELF program asks for: the first path among its bytes that begins with `/lib`, since
/// linkers put it right behind the headers.
fn loader_of(program: &[u8]) -> Option<String> {
    let begin = program.windows(4).position(|bytes| bytes == b"/lib")?;
    let path = program[begin..].split(|byte| *byte == 0).next()?;
    let path = std::str::from_utf8(path).ok()?;
    path.rsplit('/').next().map(str::to_owned)
}

/// The file of this name in `folder` or below it.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).ok()?.filter_map(Result::ok).collect();
    let here = entries.iter().find(|entry| entry.file_name() == name);
    here.map(fs::DirEntry::path).or_else(|| {
        // Not through symbolic links, which may lead out of the folder.
        let folders = entries
            .iter()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(fs::DirEntry::path).find_map(|folder| find(&folder, name))
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .map_err(|error| format!("could not run {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(format!("{name} failed ({}): {said}", output.status))
}

fn could_not(what: &str, file: &Path, error: &std::io::Error) -> String {
    format!("could not {what} {}: {error}", file.display())
}

#[cfg(test)]
mod tests {
    use super::{loader_of, mirror_in};

    #[test]
    fn the_machines_own_mirror_is_read_in_both_formats() {
        let lines = "# deb http://old.example/debian buster main\n\
                     deb [arch=amd64] https://packages.example/apt stable main\n\
                     deb https://mirror.example/debian/ bookworm main\n";
        assert_eq!(mirror_in(lines).as_deref(), Some("https://mirror.example/debian"));
        let stanzas = "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm\n";
        assert_eq!(mirror_in(stanzas).as_deref(), Some("http://deb.debian.org/debian"));
        let other_systems = "deb http://archive.example/ubuntu noble main\n\
                             deb http://security.debian.org/debian-security bookworm-security main\n";
        assert_eq!(mirror_in(other_systems), None);
    }

    #[test]
    fn the_loader_is_the_one_that_the_program_names() {
        let program = b"\x7fELF\x02\x01\0\0/lib64/ld-linux-x86-64.so.2\0\0libevent-2.1.so.7\0/lib/other\0";
        assert_eq!(loader_of(program).as_deref(), Some("ld-linux-x86-64.so.2"));
        assert_eq!(loader_of(b"\x7fELF and no path"), None);
    }
}

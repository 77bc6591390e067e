//! The command line.

use crate::{against, contests};

#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// In the order of the table of contents; all of them where none is named.
    pub(crate) contests: Vec<&'static str>,
    /// The commit to measure memlock against, instead of the peers.
    pub(crate) against: Option<String>,
    pub(crate) is_quick: bool,
}

impl Arguments {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = arguments.into_iter();
        let (mut names, mut against, mut is_quick) = (Vec::new(), None, false);
        while let Some(argument) = arguments.next() {
            let commit = match argument.strip_prefix("--against") {
                Some("") => arguments.next(),
                Some(rest) if rest.starts_with('=') => Some(rest[1..].to_owned()),
                _ if argument == "--quick" => {
                    is_quick = true;
                    continue;
                }
                _ if argument.starts_with('-') => {
                    return Err(format!(
                        "there is no option \"{argument}\", only --quick and --against <commit>"
                    ));
                }
                _ => {
                    names.push(argument);
                    continue;
                }
            };
            // An empty name, or the next option in the place of one.
            let commit = commit.filter(|commit| !commit.is_empty() && !commit.starts_with('-'));
            let commit = commit.ok_or("--against needs a commit, such as HEAD~1")?;
            if against.replace(commit).is_some() {
                return Err("--against takes one commit, and stands there twice".to_owned());
            }
        }

        let known: Vec<&str> = match against {
            Some(_) => against::CONTESTS.iter().map(|contest| contest.name).collect(),
            None => contests::ALL.iter().map(|contest| contest.name).collect(),
        };
        if let Some(wrong) = names.iter().find(|name| !known.contains(&name.as_str())) {
            let condition = if against.is_some() { " with --against" } else { "" };
            return Err(format!(
                "there is no contest \"{wrong}\"{condition}, only: {}",
                known.join(", ")
            ));
        }
        let is_chosen = |contest: &&str| names.is_empty() || names.iter().any(|name| name == contest);
        Ok(Arguments {
            contests: known.into_iter().filter(is_chosen).collect(),
            against,
            is_quick,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn names_choose_contests_and_none_chooses_all() {
        let all = parse(&[]).unwrap();
        assert_eq!(
            all.contests,
            ["uncontended", "tasks", "threads", "processes", "waiters", "keys"]
        );
        assert_eq!((all.against, all.is_quick), (None, false));
        let some = parse(&["threads", "--quick", "uncontended"]).unwrap();
        assert_eq!((some.contests, some.is_quick), (vec!["uncontended", "threads"], true));
    }

    #[test]
    fn a_commit_brings_contests_of_its_own() {
        for arguments in [["memory", "--against", "HEAD~1"], ["--against", "HEAD~1", "memory"]] {
            let parsed = parse(&arguments).unwrap();
            assert_eq!(parsed.contests, ["memory"]);
            assert_eq!(parsed.against.as_deref(), Some("HEAD~1"));
        }
        let parsed = parse(&["--against=v1"]).unwrap();
        assert_eq!(parsed.against.as_deref(), Some("v1"));
        assert_eq!(parsed.contests, ["uncontended", "threads", "tasks", "memory"]);
        assert!(parse(&["memory"]).unwrap_err().contains("no contest \"memory\", only"));
        assert!(
            parse(&["keys", "--against", "v1"])
                .unwrap_err()
                .contains("only: uncontended")
        );
    }

    #[test]
    fn unknown_arguments_are_refused() {
        for missing in [&["--against"][..], &["--against="], &["--against", "--quick"]] {
            assert!(parse(missing).unwrap_err().contains("needs a commit"), "{missing:?}");
        }
        assert!(parse(&["--against", "a", "--against=b"]).unwrap_err().contains("twice"));
        for unknown in ["--againstx", "--slow", "-q"] {
            assert!(parse(&[unknown]).unwrap_err().contains(unknown));
        }
    }
}

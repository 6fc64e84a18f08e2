//! Which commit is checked out: it goes into `run.json`, and the seeds of a
//! pull request are derived from it.

use std::fs;
use std::path::Path;

/// What CI systems call the commit under test; squall's own name comes first.
const VARIABLES: [&str; 3] = ["SQUALL_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA"];

/// The commit, as hexadecimal digits, if there is one.
pub fn checked_out() -> Option<String> {
    let named = VARIABLES.iter().find_map(|name| std::env::var(name).ok());
    let commit = named.or_else(|| head(&std::env::current_dir().ok()?))?;
    is_commit(&commit).then_some(commit)
}

/// A seed that differs between commits, and not between runs of one: the
/// commit's first eight digits.
pub fn seed(commit: &str) -> Option<u64> {
    u64::from_str_radix(commit.get(..8)?, 16).ok()
}

fn is_commit(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Follows `HEAD` of the repository around `dir`, through one branch name.
fn head(dir: &Path) -> Option<String> {
    let git = dir
        .ancestors()
        .map(|dir| dir.join(".git"))
        .find(|git| git.is_dir())?;
    let read = |path: &str| fs::read_to_string(git.join(path)).ok();
    let head = read("HEAD")?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    read(branch)
        .map(|commit| commit.trim().to_owned())
        .or_else(|| {
            let packed = read("packed-refs")?;
            let line = packed.lines().find(|line| line.ends_with(branch))?;
            line.split(' ').next().map(str::to_owned)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_found_through_its_branch() {
        let dir = tempfile::tempdir().unwrap();
        let git = dir.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(
            git.join("packed-refs"),
            format!("# pack-refs\n{commit} refs/heads/main\n"),
        )
        .unwrap();
        assert_eq!(head(dir.path()).as_deref(), Some(commit));
        fs::write(git.join("refs/heads/main"), "f".repeat(40)).unwrap();
        assert_eq!(head(dir.path()), Some("f".repeat(40)));
        assert_eq!(seed(commit), Some(0x0123_4567));
    }
}

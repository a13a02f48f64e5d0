//! Names the commit that the program was built from, for `--version`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Only the program tells its version.
    if std::env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    let commit = packaged().or_else(checked_out);
    let commit = commit.map(|commit| format!(" ({commit})")).unwrap_or_default();
    println!("cargo::rustc-env=EMO_PREFLIGHT_VERSION={}{commit}", env!("CARGO_PKG_VERSION"));
}

/// A crate from a registry has no repository; `cargo package` noted the commit in this file.
fn packaged() -> Option<String> {
    let noted = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = noted.split_once("\"sha1\": \"")?;
    Some(rest.get(..12)?.to_owned())
}

fn checked_out() -> Option<String> {
    // Grows with every commit, and is there in every clone. Without it, this may be a folder within
    // somebody else's repository.
    let log = Path::new(".git/logs/HEAD");
    if !log.exists() {
        return None;
    }
    println!("cargo::rerun-if-changed={}", log.display());
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(git.stdout).ok()?;
    git.status.success().then(|| commit.trim().to_owned())
}

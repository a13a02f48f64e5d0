//! Names the commit that the program was built from, for `--version`, and finds the face detector's
//! model.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "faces")]
    face_model::embed();
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

/// The model lies in the folder of the crate `rustface`, so that no weights need to be in this
/// repository. Only Cargo knows where that folder is: a registry's, or a vendored one.
#[cfg(feature = "faces")]
mod face_model {
    use std::env;
    use std::error::Error;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use serde_json::Value;

    pub(super) fn embed() {
        println!("cargo::rerun-if-env-changed={OVERRIDE}");
        if let Err(error) = try_embed() {
            println!(
                "cargo::error=the feature `faces` must find {MODEL} in the folder of the crate \
                 rustface, found: {error}; name the file with the environment variable {OVERRIDE}"
            );
        }
    }

    fn try_embed() -> Result<(), Box<dyn Error>> {
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
        // Documentation needs no model, and is built where little else is at hand.
        if env::var_os("DOCS_RS").is_some() {
            return Ok(fs::write(out.join(COPY), [])?);
        }
        let from = match env::var_os(OVERRIDE) {
            Some(file) => PathBuf::from(file),
            None => rustface(&out)?.join(MODEL),
        };
        println!("cargo::rerun-if-changed={}", from.display());
        let model = fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
        fs::write(out.join(COPY), model)?;
        Ok(())
    }

    /// The folder of rustface. Asked of Cargo with a manifest that names nothing else: the whole
    /// package's dependencies, those of its tests among them, need not be at hand where it is built as
    /// somebody's dependency.
    fn rustface(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
        let asking = out.join("face-model");
        fs::create_dir_all(asking.join("src"))?;
        fs::write(asking.join("src/lib.rs"), "")?;
        let manifest = asking.join("Cargo.toml");
        fs::write(&manifest, MANIFEST)?;
        // What was locked by an earlier build may be gone from the registry's folder.
        let _ = fs::remove_file(asking.join("Cargo.lock"));
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // From the package's own folder, whose configuration says where dependencies are vendored.
        let said = Command::new(cargo)
            .args(["metadata", "--offline", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .output()?;
        if !said.status.success() {
            return Err(String::from_utf8_lossy(&said.stderr).trim().replace('\n', " ").into());
        }
        let graph: Value = serde_json::from_slice(&said.stdout)?;
        let packages = graph.get("packages").and_then(Value::as_array);
        packages
            .and_then(|all| all.iter().find(|one| one.get("name") == Some(&"rustface".into())))
            .and_then(|rustface| rustface.get("manifest_path")?.as_str())
            .and_then(|manifest| Some(Path::new(manifest).parent()?.to_owned()))
            .ok_or_else(|| "cargo metadata names no folder of rustface".into())
    }

    /// As this package asks for it. Not part of any workspace that the build's folder lies in.
    const MANIFEST: &str = r#"
[package]
name = "face-model"
version = "0.0.0"
edition = "2021"

[dependencies]
rustface = { version = "0.1.7", default-features = false }

[workspace]
"#;

    /// What the library includes.
    const COPY: &str = "face-model.bin";
    const MODEL: &str = "model/seeta_fd_frontal_v1.0.bin";
    const OVERRIDE: &str = "EMO_PREFLIGHT_FACE_MODEL";
}

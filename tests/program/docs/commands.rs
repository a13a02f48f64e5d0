//! The commands of the documents, run as a reader would paste them: a document's blocks in their order,
//! in a folder of their own, with the stand-in service. A block that is not run says why in the line
//! before it: `<!-- not run: … -->`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::{Running, fixture, kill, program, program_with, run};

/// A document's shell blocks: the line of each, its text, and whether it is to be run.
fn blocks(document: &str) -> Vec<(usize, String, bool)> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    let mut before = "";
    while let Some((number, line)) = lines.next() {
        if line == "```sh" {
            let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let reason = before.strip_prefix("<!-- not run: ").and_then(|r| r.strip_suffix(" -->"));
            assert!(
                reason.is_none_or(|reason| reason.len() > 5),
                "line {number} says why: {before}"
            );
            blocks.push((number + 1, text.collect::<Vec<_>>().join("\n"), reason.is_none()));
        }
        if !line.is_empty() {
            before = line;
        }
    }
    blocks
}

/// The program under its own name, with what the stand-in's images need: they are on loopback. It does not
/// wait between calls unless it is told to.
fn put_program(folder: &Path) {
    let real = program().get_program().to_str().unwrap().to_owned();
    let script = format!(
        "#!/bin/sh\ncase $1 in\n  probe|check) c=$1; shift; set -- \"$c\" --allow-private-network \"$@\";;\n\
         esac\ncase \"$*\" in\n  *--rps*) ;;\n  check*) set -- \"$@\" --rps 1000;;\nesac\n'{real}' \"$@\"\nstatus=$?\necho \"$status $*\" >> \"$STATUSES\"\nexit $status\n"
    );
    let path = folder.join("emo-preflight");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn every_command_of_the_documents_does_what_is_said_or_says_why_it_is_not_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md"), root.join("python/README.md")];
    documents
        .extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let ran: usize = std::thread::scope(|scope| {
        let all: Vec<_> = documents.iter().map(|path| scope.spawn(|| run_all_of(path))).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(ran >= 10, "{ran}");
}

/// Runs a document's blocks and says how many.
fn run_all_of(path: &Path) -> usize {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let blocks = blocks(&std::fs::read_to_string(path).unwrap());
    if !blocks.iter().any(|(.., is_run)| *is_run) {
        return 0;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bin = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    put_program(bin.path());
    let emulator =
        Running::start(&mut program_with(["emulator", "--listen", "127.0.0.1:0", "--rps", "0"]));
    let images = emulator.lines_until("Try, in another terminal:");
    let urls: Vec<&str> =
        images.iter().filter_map(|line| line.strip_prefix("  ")?.split("  (").next()).collect();
    let (origin, _) = urls[0].split_once("/images/").unwrap();
    std::fs::write(folder.path().join("urls.txt"), urls.join("\n") + "\n").unwrap();
    std::fs::copy(fixture("plain.jpg"), folder.path().join("portrait.jpg")).unwrap();
    let mut ran = 0;
    for (line, text, _) in blocks.iter().filter(|(.., is_run)| *is_run) {
        let statuses = bin.path().join("statuses");
        std::fs::write(&statuses, "").unwrap();
        let mut shell = Command::new("sh");
        for (name, value) in program().get_envs() {
            if value.is_none() {
                shell.env_remove(name);
            }
        }
        let search = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
        shell.args(["-c", text]).current_dir(folder.path()).stdin(Stdio::null());
        shell.env("PATH", search).env("STATUSES", &statuses);
        shell
            .env("DASHSCOPE_API_KEY", "sk-any")
            .env("EMO_PREFLIGHT_LEDGER", folder.path().join("l.db"));
        shell.env("DASHSCOPE_HTTP_BASE_URL", format!("{origin}/api/v1"));
        let done = run(&mut shell);
        let place =
            format!("{name}:{line}:\n{text}\nstdout:\n{}\nstderr:\n{}", done.stdout, done.stderr);
        assert!(matches!(done.status, Some(0 | 1 | 3)), "{:?} {place}", done.status);
        assert!(!done.stderr.contains("not found\n") && !done.stderr.contains("error:"), "{place}");
        let statuses = std::fs::read_to_string(&statuses).unwrap();
        assert!(!statuses.is_empty(), "the program is run by {place}");
        for status in statuses.lines() {
            assert!(
                ["0 ", "1 ", "3 "].iter().any(|fine| status.starts_with(fine)),
                "{status} {place}"
            );
        }
        ran += 1;
    }
    kill(emulator.id(), "TERM");
    emulator.finish();
    ran
}

//! Where the ledger lies, seen from outside: what is left of it at each end, copies, mounts, and what was
//! paid for as results once more.

use std::process::Command;
use std::time::Duration;

use emo_preflight::emulator::Fate;

use super::desk::{Desk, LEDGER};
use super::ledger::change;
use crate::pg;
use crate::rig::{Running, gists, kill, program_with, run, until};

fn assert_is_one_file(desk: &Desk) {
    let wal = desk.path("ledger.db-wal");
    assert!(!wal.exists(), "{} bytes", std::fs::metadata(&wal).unwrap().len());
}

/// Whatever the end, but for a crash: the file alone knows all calls.
#[test]
fn at_each_orderly_end_the_file_alone_knows_every_call() {
    let desk = Desk::new();
    let images = desk.listed(4);
    let url = |at: usize| images[at].url();
    run(&mut desk.check([url(0)])).assert_status(0);
    assert_is_one_file(&desk);
    for mut command in [desk.spend([]), desk.dry_run([]), export(&desk.at(LEDGER))] {
        assert_eq!(run(&mut command).status, Some(0));
        assert_is_one_file(&desk);
    }
    // Stopped by its cap, by a service that refuses the key, and by a signal.
    run(&mut desk.check([url(0), url(1), url(2), "--max-calls", "1"])).assert_status(4);
    assert_is_one_file(&desk);
    let mut refused = desk.check([url(3)]);
    run(refused.env("DASHSCOPE_API_KEY", "sk-of-another")).assert_status(3);
    assert_is_one_file(&desk);
    desk.rig.emu.script(&images[3], [Fate::judge().late(Duration::from_millis(500))]);
    let billed = desk.rig.emu.billed();
    let running = Running::start(&mut desk.check([url(3)]));
    until("the call", || desk.rig.emu.billed() > billed);
    kill(running.id(), "TERM");
    running.finish().assert_status(143);
    assert_is_one_file(&desk);

    let copy = desk.at("copy.db");
    std::fs::copy(desk.path(LEDGER), &copy).unwrap();
    let mut on_copy = desk.check([url(0), url(3), "--ledger", &copy]);
    run(&mut on_copy).assert_status(4).says("copy.db-owners, found none").says("ledger adopt");
    run(&mut adopt(&copy)).assert_status(0).says("adopted: ");
    let calls = desk.rig.emu.calls();
    let rows = run(&mut on_copy).rows();
    assert!(rows.iter().all(|row| row["from_ledger"] == true), "{rows:?}");
    assert_eq!(desk.rig.emu.calls(), calls);
}

#[test]
fn a_server_that_ends_leaves_one_file() {
    let desk = Desk::new();
    desk.images(1);
    let mut serve =
        program_with(["serve", "--listen", "127.0.0.1:0", "--ledger", &desk.at(LEDGER)]);
    serve.args(["--base-url", &desk.rig.emu.base_url()]).env("DASHSCOPE_API_KEY", crate::rig::KEY);
    let mut running = Running::start(&mut serve);
    running.line();
    assert!(desk.path("ledger.db-wal").exists());
    kill(running.id(), "TERM");
    running.finish().assert_status(0);
    assert_is_one_file(&desk);
}

#[test]
fn a_server_for_others_needs_a_ledger_that_is_named() {
    let mut serve = program_with(["serve", "--listen", "0.0.0.0:0"]);
    serve.env("DASHSCOPE_API_KEY", crate::rig::KEY).env("EMO_PREFLIGHT_TOKEN", "t".repeat(40));
    let done = run(serve.env_remove("EMO_PREFLIGHT_LEDGER"));
    done.assert_status(2).says("must have its ledger named").says("--ledger");
}

#[test]
fn a_file_uri_is_no_path() {
    let desk = Desk::new();
    let uri = format!("file:{}?mode=memory", desk.at(LEDGER));
    let mut by_variable = desk.check(["a.jpg"]);
    by_variable.env("EMO_PREFLIGHT_LEDGER", &uri);
    for command in [&mut by_variable, &mut desk.check(["--ledger", &uri, "a.jpg"])] {
        run(command).assert_status(2).says("found a file: URI");
    }
    assert!(desk.names().is_empty(), "{:?}", desk.names());
}

#[test]
fn what_was_paid_for_can_be_had_again() {
    let desk = Desk::new();
    let images = desk.images(3);
    desk.rig.emu.script(&images[1], [Fate::refused_by_model()]);
    desk.rig.emu.script(&images[2], [Fate::judge().reset()]);
    for image in &images {
        let signed = format!("{}?Signature=SECRET", image.url());
        run(&mut desk.check([&*signed]));
    }
    let done = run(&mut export(&desk.at(LEDGER)));
    done.assert_status(0).says("2 verdicts");
    let rows = done.rows();
    assert_eq!(gists(&rows), ["accepted", "rejected_remote check_pass_false"]);
    assert!(!done.stdout.contains("SECRET"), "{}", done.stdout);
    for row in &rows {
        assert_eq!((&row["from_ledger"], &row["model"]), (&true.into(), &"emo-detect-v1".into()));
        assert!(row["request_id"].is_string() && row["billing"]["images"] == 1, "{row}");
        assert!(row["image"].is_null() && row["fetch"].is_null(), "{row}");
    }
    assert!(rows[0]["face_bbox"].is_array() && rows[0]["ext_bbox"].is_array(), "{}", rows[0]);
    run(&mut export(&desk.at("nowhere.db"))).assert_status(0).says("nothing to export");
    assert!(!desk.path("nowhere.db").exists());
    run(&mut adopt("none")).assert_status(2).says("must be an SQLite file");
    change(&desk.at(LEDGER), "UPDATE ledger_schema SET version = 2");
    run(&mut export(&desk.at(LEDGER)))
        .assert_status(4)
        .says("found 2: it is from before the first release");
    assert!(run(&mut program_with(["ledger", "schema"])).stdout.contains("CREATE TABLE attempt"));
}

/// As `docker run -v …/ledger.db:/data/ledger.db` does.
#[test]
fn a_file_that_is_mounted_without_its_folder_is_refused() {
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|done| done.success()) {
        println!("NOT RUN: no mount namespace may be made here");
        return;
    }
    let desk = Desk::new();
    let images = desk.images(1);
    run(&mut desk.check([images[0].url()])).assert_status(0);
    std::fs::create_dir(desk.path("data here")).unwrap();
    let mounted = desk.put("data here/ledger.db", "");
    let blank = desk.put("blank.db", "");
    for source in [desk.at(LEDGER), blank] {
        let check = desk.check([images[0].url(), "--ledger", &mounted]);
        let mut inside = Command::new("unshare");
        inside.args([
            "-rm",
            "sh",
            "-c",
            "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"",
            "sh",
        ]);
        inside.args([&source, &mounted]).arg(check.get_program()).args(check.get_args());
        inside.env("DASHSCOPE_API_KEY", crate::rig::KEY);
        run(&mut inside).assert_status(4).says("mount the folder");
    }
    assert_eq!(desk.rig.emu.calls(), 1);
}

#[test]
fn two_schemas_of_a_database_are_two_places() {
    let Some(server) = pg::server() else { return };
    let desk = Desk::new();
    let images = desk.images(1);
    let url = server.database();
    let shown = url.replace("test@", "");
    for (more, schema) in [
        ("", "emo_preflight"),
        ("?options=-c%20search_path%3Dother%20-c%20geqo%3Doff", "other"),
        ("?options[search_path]=third", "third"),
    ] {
        let place = format!("ledger: {shown} (schema {schema})\n");
        let ledger = format!("{url}{more}");
        let mut check = desk.check([images[0].url(), "--ledger", &ledger]);
        run(&mut check).assert_status(0).says(&format!("new {place}"));
        let again = run(&mut check);
        assert!(again.stderr.starts_with(&place), "{}", again.stderr);
        assert_eq!(again.rows()[0]["from_ledger"], true);
    }
    assert_eq!(desk.rig.emu.calls(), 3);
}

#[test]
fn a_server_that_may_lose_commits_is_noticed() {
    let Some(server) = pg::another() else { return };
    let url = server.database();
    let spend = || run(&mut program_with(["spend", "--ledger", &url]));
    assert!(!spend().stderr.contains("WARN"), "{}", spend().stderr);
    server.stop("fast");
    server.go_with("-c fsync=off -c full_page_writes=off");
    spend().assert_status(0).says("fsync = off").says("full_page_writes = off");
    server.stop("fast");
}

fn export(ledger: &str) -> Command {
    program_with(["ledger", "export", "--ledger", ledger])
}

fn adopt(ledger: &str) -> Command {
    program_with(["ledger", "adopt", "--ledger", ledger])
}

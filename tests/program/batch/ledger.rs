//! `--ledger` and what hangs on it: where the ledger is, what it knows, and what it is not.

use std::process::Command;

use emo_preflight::emulator::Fate;

use super::desk::{Desk, LEDGER, RESULTS};
use crate::rig::{KEY, Running, by_index, gists, program_with, run, until};

#[test]
fn the_place_of_the_ledger_is_the_first_that_is_said() {
    let desk = Desk::new();
    let images = desk.images(1);
    let state = desk.at("state");
    let ledger = format!("{state}/emo-preflight/ledger.db");
    let check = || {
        let mut command = desk.rig.check([images[0].url()]);
        command.env("XDG_STATE_HOME", &state);
        command
    };
    let said = |command: &mut Command| {
        let done = run(command);
        done.assert_status(0);
        (done.stderr.lines().next().unwrap().to_owned(), done.rows().remove(0))
    };
    let (line, row) = said(check().env_remove("EMO_PREFLIGHT_LEDGER"));
    assert_eq!(line, format!("new ledger: {ledger}"));
    assert_eq!(row["from_ledger"], false);
    assert!(std::path::Path::new(&ledger).is_file());
    // Another process knows it; the option stands above the variable, the variable above the place.
    let (line, row) = said(check().env_remove("EMO_PREFLIGHT_LEDGER"));
    assert_eq!((line, &row["from_ledger"]), (format!("ledger: {ledger}"), &true.into()));
    let (line, _) = said(check().env("EMO_PREFLIGHT_LEDGER", desk.at("var.db")));
    assert_eq!(line, format!("new ledger: {}", desk.at("var.db")));
    let (line, row) =
        said(check().env("EMO_PREFLIGHT_LEDGER", desk.at("var.db")).args(["--ledger", &ledger]));
    assert_eq!((line, &row["from_ledger"]), (format!("ledger: {ledger}"), &true.into()));
    let (line, row) = said(check().args(["--ledger", "none"]));
    assert!(line.starts_with("ledger: none (in memory"), "{line}");
    assert_eq!(row["from_ledger"], false);
    assert_eq!(desk.rig.emu.billed(), 3);
    desk.rig.emu.finish();
}

#[test]
fn ledger_that_cannot_be_opened_end_it_before_any_call() {
    let desk = Desk::new();
    let images = desk.listed(1);
    let folder = desk.at("");
    let garbage = desk.put("garbage.db", "x".repeat(5_000));
    run(&mut desk.check(["--ledger", &desk.at("newer.db"), "a.jpg"])).assert_status(1);
    change(&desk.at("newer.db"), "UPDATE ledger_schema SET version = 99");
    let other = desk.at("other.db");
    change(&other, "CREATE TABLE mine (id INTEGER)");
    for (ledger, why) in [
        (folder.as_str(), "is a directory"),
        (&garbage, "file is not a database"),
        (
            &desk.at("newer.db"),
            "schema version 3, found 99: a newer version of this program wrote it, update",
        ),
        (&other, "it is an SQLite file but no ledger"),
        ("/dev/null/ledger.db", "folder"),
    ] {
        let done = run(&mut desk.batch(["--ledger", ledger]));
        done.assert_status(4).says("error: ").says(ledger).says(why);
        assert!(!done.stderr.contains("ledger: /"), "it is not said to be there");
        if ledger != "/dev/null/ledger.db" && ledger != folder {
            for mut command in [desk.dry_run(["--ledger", ledger]), spend(ledger)] {
                let done = run(&mut command);
                done.assert_status(4).says(ledger);
                assert_eq!(done.stdout, "");
            }
        }
    }
    assert_eq!((desk.rig.emu.calls(), desk.fetches(&images)), (0, 0));
    assert_eq!(std::fs::read(garbage).unwrap(), "x".repeat(5_000).into_bytes());
}

#[test]
fn ledger_that_fail_before_a_call_are_no_call() {
    let desk = Desk::new();
    let images = desk.images(2);
    run(&mut desk.check([images[0].url()])).assert_status(0);
    change(
        &desk.at(LEDGER),
        "CREATE TRIGGER fault BEFORE INSERT ON attempt BEGIN SELECT RAISE(ABORT, 'worn out'); END",
    );
    let done = run(&mut desk.check([images[1].url()]));
    done.assert_status(3).says("rejected for free: 0; 0 images called for; spent 0.000 CNY;");
    assert_eq!(gists(&done.rows()), ["failed ledger_error"]);
    assert_eq!(desk.rig.emu.calls(), 1);
}

#[test]
fn ledger_that_cannot_be_read_at_the_start_are_ledger_that_cannot_be_opened() {
    let desk = Desk::new();
    let images = desk.listed(1);
    run(&mut desk.check(["a.jpg"])).assert_status(1);
    // Opening the ledger reads no ids of attempts that have ended.
    change(
        &desk.at(LEDGER),
        "ALTER TABLE attempt RENAME TO elsewhere;
         CREATE VIEW attempt AS SELECT 'x' AS id, 'nobody' AS owner, 'settled' AS state",
    );
    let done = run(&mut desk.batch(["--retry-unknown"]));
    done.assert_status(4).says("error: the ledger cannot be read: ");
    assert_eq!((done.stdout.as_str(), desk.rig.emu.calls()), ("", 0));
    assert_eq!(desk.fetches(&images), 0);
}

#[test]
fn what_is_secret_in_a_database_url_is_never_repeated() {
    let desk = Desk::new();
    let images = desk.images(1);
    for (url, status, says) in [
        (
            "postgres://user:SECRET@127.0.0.1:1/db",
            4,
            "postgres://127.0.0.1:1/db (schema emo_preflight): ",
        ),
        ("postgresql://user:SECRET@127.0.0.1:1/db?password=SECRET", 4, "cannot open the ledger"),
        ("postgres://user:SECRET@127.0.0.1:port/db", 4, "it must be a URL as postgres://"),
        ("mysql://user:SECRET@h/db", 2, "must be a path, a URL as postgres://"),
    ] {
        let mut by_option = desk.rig.check(["--ledger", url, images[0].url()]);
        let mut by_variable = desk.rig.check([images[0].url()]);
        by_variable.env("EMO_PREFLIGHT_LEDGER", url);
        let mut dry = desk.rig.check(["--dry-run", "--ledger", url, images[0].url()]);
        for command in [&mut by_option, &mut by_variable, &mut dry, &mut spend(url)] {
            let done = run(command.args(["--ledger-wait", "0.01"]).current_dir(desk.path("")));
            done.assert_status(status).says("error: ").says(says);
            assert!(!done.stderr.contains("SECRET"), "{}", done.stderr);
            assert!(desk.names().is_empty(), "no file of that name: {:?}", desk.names());
        }
        for command in ["check", "spend"] {
            let help = run(program_with([command, "--help"]).env("EMO_PREFLIGHT_LEDGER", url));
            assert!(!help.stdout.contains("SECRET"), "{}", help.stdout);
        }
    }
    assert_eq!(desk.rig.emu.calls(), 0);
}

#[test]
fn verdicts_of_a_certain_age_are_bought_anew() {
    let desk = Desk::new();
    let images = desk.listed(2);
    run(&mut desk.batch([])).assert_status(0);
    change(&desk.at(LEDGER), "UPDATE attempt SET ended_us = ended_us - 86400000000");
    for (age, billed) in [("2d", 2), ("25h", 2), ("23h", 4), ("12h", 4)] {
        let sources = images.iter().map(|image| image.url());
        run(desk.check(sources).args(["--ledger-max-age", age])).assert_status(0);
        assert_eq!(desk.rig.emu.billed(), billed, "{age}");
    }
}

#[test]
fn an_unknown_bill_is_asked_about_again_only_when_told_to() {
    let desk = Desk::new();
    let images = desk.listed(3);
    let lost = &images[1];
    desk.rig.emu.script(lost, [Fate::judge().reset(), Fate::judge().reset()]);
    let unknown = ["accepted", "failed billing_unknown", "accepted"];
    run(&mut desk.batch([])).assert_status(3);
    assert_eq!(gists(&desk.results()), unknown);
    // Not by going on, and not by a file of its own.
    run(&mut desk.resume([])).assert_status(3).says("3 of 3 images done before");
    std::fs::remove_file(desk.path(RESULTS)).unwrap();
    run(&mut desk.batch([])).assert_status(3);
    assert_eq!((gists(&desk.results()), desk.rig.emu.calls_for(lost)), (gists_of(unknown), 1));
    // Once, and lost again it stays unknown.
    run(&mut desk.resume(["--retry-unknown"])).assert_status(3);
    assert_eq!((gists(&desk.results()), desk.rig.emu.calls_for(lost)), (gists_of(unknown), 2));
    run(&mut desk.resume(["--retry-unknown"])).assert_status(0);
    assert_eq!(
        (gists(&desk.results()), desk.rig.emu.calls_for(lost)),
        (gists_of(["accepted"; 3]), 3)
    );
    run(&mut desk.resume(["--retry-unknown"])).assert_status(0);
    assert_eq!(desk.rig.emu.calls(), 5);
    desk.rig.emu.finish();
}

#[test]
fn processes_of_one_account_share_its_pace() {
    let desk = Desk::new();
    let images = desk.images(3);
    let call = |at: usize, account: &str| {
        // By hand: the rig's own pace is no pace.
        let mut command = program_with(["check", "--json", "--allow-private-network"]);
        command.args(["--base-url", &desk.rig.emu.base_url(), "--ledger", &desk.at(LEDGER)]);
        command.args(["--rps", "0.02", "--account", account, images[at].url()]);
        command.env("DASHSCOPE_API_KEY", KEY);
        command
    };
    run(&mut call(0, "one")).assert_status(0);
    run(&mut call(1, "other")).assert_status(0);
    // Its slot is what matters: it need not be waited for.
    let third = Running::start(&mut call(2, "one"));
    until("the third is booked", || slots(&desk.at(LEDGER)).len() == 3);
    drop(third);
    let slots = slots(&desk.at(LEDGER));
    // (1 s + 35 ms) / 0.02
    assert!(slots[2] - slots[0] >= 51_750_000, "{slots:?}");
    assert!(slots[1] - slots[0] < 51_750_000, "{slots:?}");
    assert_eq!(desk.rig.emu.calls(), 2);
}

#[test]
fn equal_images_are_paid_once_whichever_process_asks() {
    let desk = Desk::new();
    let images = desk.listed(4);
    run(&mut desk.batch([])).assert_status(0);
    let sources = images.iter().map(|image| image.url());
    let rows = by_index(run(&mut desk.check(sources)).rows());
    assert!(rows.iter().all(|row| row["from_ledger"] == true && row["billing"]["images"] == 1));
    assert_eq!(desk.rig.emu.calls(), 4);
}

fn gists_of<const N: usize>(gists: [&str; N]) -> Vec<String> {
    gists.map(str::to_owned).into()
}

fn spend(ledger: &str) -> Command {
    program_with(["spend", "--ledger", ledger])
}

/// The slots of all attempts, in microseconds.
fn slots(path: &str) -> Vec<i64> {
    use sqlx::Connection as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        let mut ledger = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let query = sqlx::query_scalar("SELECT slot_us FROM attempt ORDER BY id");
        query.fetch_all(&mut ledger).await.unwrap()
    })
}

/// Changes the ledger behind the program's back.
pub(crate) fn change(path: &str, statement: &'static str) {
    use sqlx::Connection as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let options = options.create_if_missing(true);
        let mut ledger = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(statement).execute(&mut ledger).await.unwrap();
        ledger.close().await.unwrap();
    });
}

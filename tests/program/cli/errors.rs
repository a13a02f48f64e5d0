//! Errors name the mend. Each text is pinned as a person reads it.

use emo_preflight::emulator::{Fate, Picture};
use insta::assert_snapshot;

use crate::rig::{KEY, program_with, rig, rig_with, run};

/// What the program says on stderr, and its exit status.
fn said(arguments: &[&str], key: Option<&str>) -> String {
    let mut command = program_with(arguments.iter().copied());
    match key {
        Some(key) => command.env("DASHSCOPE_API_KEY", key),
        None => command.env_remove("DASHSCOPE_API_KEY"),
    };
    let done = run(&mut command);
    assert!(!done.stderr.contains(KEY));
    format!("{}exit status {}", done.stderr, done.status.unwrap())
}

#[test]
fn no_key() {
    assert_snapshot!(said(&["check", "https://h/a.jpg"], None), @r#"
    error: no API key: set DASHSCOPE_API_KEY to a Model Studio key of the Beijing region; no key is needed for `emo-preflight demo`, which shows the whole flow, for probe and for check --dry-run
    exit status 2
    "#);
    assert_snapshot!(said(&["serve"], None), @r#"
    error: no API key: set DASHSCOPE_API_KEY to a Model Studio key of the Beijing region; no key is needed for `emo-preflight demo`, which shows the whole flow, for probe and for check --dry-run
    exit status 2
    "#);
    assert_snapshot!(said(&["check", "https://h/a.jpg"], Some("sk-zwölf")), @r#"
    error: the API key must be printable ASCII without spaces; the one given is not
    exit status 2
    "#);
}

#[test]
fn a_cap_that_would_begin_again_at_each_start() {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--max-calls", "9"];
    assert_snapshot!(said(&serve, Some(KEY)), @r#"
    error: --max-calls with serve must count for a named run, found none, so that it would begin again with each process; name it with --run ID
    exit status 2
    "#);
}

#[test]
fn a_path_given_to_check() {
    assert_snapshot!(said(&["check", "portrait.jpg"], Some(KEY)), @r#"
    ledger: none (in memory: what is paid for is forgotten at the end)
    1 image: 1 rejected_local
    rejected for free: 1; 0 images called for; spent 0.000 CNY; saved up to 0.004 CNY
    what to do:
         1 × not_http_url: put the image where the service can fetch it and give its http or https URL; only `probe` reads local files
    exit status 1
    "#);
}

#[test]
fn an_image_without_a_command() {
    assert_snapshot!(said(&["my portrait.jpg"], None), @r#"
    error: unrecognized subcommand 'my portrait.jpg'

    Usage: emo-preflight [OPTIONS] <COMMAND>

    For more information, try '--help'.

    to check an image for free: emo-preflight probe 'my portrait.jpg'
    exit status 2
    "#);
}

#[test]
fn a_mistyped_word() {
    assert_snapshot!(said(&["check", "--outptu", "r.jsonl", "https://h/a.jpg"], Some(KEY)), @r#"
    error: unexpected argument '--outptu' found

      tip: a similar argument exists: '--output'

    Usage: emo-preflight check [OPTIONS] <SOURCE|--input <FILE>>

    For more information, try '--help'.
    exit status 2
    "#);
    assert_snapshot!(said(&["chekc", "https://h/a.jpg"], Some(KEY)), @r#"
    error: unrecognized subcommand 'chekc'

      tip: a similar subcommand exists: 'check'

    Usage: emo-preflight [OPTIONS] <COMMAND>

    For more information, try '--help'.
    exit status 2
    "#);
    assert_snapshot!(said(&["check", "--ratio", "4:3", "https://h/a.jpg"], Some(KEY)), @r#"
    error: invalid value '4:3' for '--ratio <RATIO>': aspect ratio must be 1:1 or 3:4, found "4:3"

    For more information, try '--help'.
    exit status 2
    "#);
    assert_snapshot!(said(&["check"], Some(KEY)), @r#"
    error: the following required arguments were not provided:
      <SOURCE|--input <FILE>>

    Usage: emo-preflight check [OPTIONS] <SOURCE|--input <FILE>>

    For more information, try '--help'.
    exit status 2
    "#);
}

#[test]
fn a_ledger_that_cannot_be_written() {
    let check = |ledger| said(&["check", "--ledger", ledger, "https://h/a.jpg"], Some(KEY));
    assert_snapshot!(check("/dev/null/ledger.db"), @r#"
    error: cannot open the ledger /dev/null/ledger.db: its folder cannot be made: File exists (os error 17); --ledger FILE keeps it elsewhere, --ledger none in memory
    exit status 4
    "#);
    assert_snapshot!(check("/"), @r#"
    error: cannot open the ledger /: is a directory; --ledger FILE keeps it elsewhere, --ledger none in memory
    exit status 4
    "#);
    assert_snapshot!(check("mysql://user:password@host/db"), @r#"
    error: the ledger must be a path, a URL as postgres://user@host/database, or none; found another URL
    exit status 2
    "#);
}

#[test]
fn an_input_or_an_output_that_is_not_there() {
    assert_snapshot!(said(&["probe", "--input", "no-such-list.txt"], None), @r#"
    error: cannot read the input no-such-list.txt: No such file or directory (os error 2)
    exit status 2
    "#);
    assert_snapshot!(said(&["probe", "--output", "no/such/folder/r.jsonl", "a.jpg"], None), @r#"
    error: cannot write the output no/such/folder/r.jsonl: No such file or directory (os error 2)
    exit status 2
    "#);
}

/// The service's refusals that end a run.
fn stopped(fate: Option<Fate>) -> String {
    let rig = match &fate {
        Some(_) => rig(),
        None => rig_with(|builder| builder.api_key("sk-of-another-region").rps(None)),
    };
    let image = rig.emu.serve("/a.png", Picture::png(400, 400));
    let rest = rig.emu.serve("/b.png", Picture::png(400, 400));
    rig.emu.script(&image, fate);
    let mut command = rig.check([image.url(), rest.url(), "--concurrency", "1"]);
    let done = run(&mut command);
    done.assert_status(4);
    done.stderr
}

#[test]
fn a_key_of_another_region() {
    assert_snapshot!(stopped(None), @r#"
    ledger: none (in memory: what is paid for is forgotten at the end)
    2 images: 1 failed, 1 skipped
    rejected for free: 0; 1 image called for; spent 0.000 CNY; saved up to 0.000 CNY
    stopped: InvalidApiKey: Invalid API-key provided; set DASHSCOPE_API_KEY to a Model Studio key of the Beijing region; one of another region is refused like a wrong one
    "#);
}

#[test]
fn arrears() {
    assert_snapshot!(stopped(Some(Fate::error(400, "Arrearage"))), @r#"
    ledger: none (in memory: what is paid for is forgotten at the end)
    2 images: 1 failed, 1 skipped
    rejected for free: 0; 1 image called for; spent 0.000 CNY; saved up to 0.000 CNY
    stopped: Arrearage: The request was refused; settle the Alibaba Cloud account's overdue bill, then go on with --resume
    "#);
}

#[test]
fn a_model_that_the_key_may_not_call() {
    assert_snapshot!(stopped(Some(Fate::error(403, "Model.AccessDenied"))), @r#"
    ledger: none (in memory: what is paid for is forgotten at the end)
    2 images: 1 failed, 1 skipped
    rejected for free: 0; 1 image called for; spent 0.000 CNY; saved up to 0.000 CNY
    stopped: Model.AccessDenied: The request was refused; in the Model Studio console give the key's workspace access to the model; check --workspace and --model
    "#);
}

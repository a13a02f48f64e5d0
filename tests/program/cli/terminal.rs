//! What a person sees on a terminal: a help that fits, colours, sources that fit, few words on request,
//! and a question before what costs more than a trial.

use emo_preflight::emulator::{Picture, Served};

use crate::rig::{
    KEY, Rig, file, fixture, on_a_terminal, on_a_terminal_of, program_with, rig, run, run_fed,
    typing,
};

#[test]
fn the_short_help_fits_a_screen_and_the_long_one_has_all() {
    for (command, most) in [
        ("probe", 30),
        ("check", 45),
        ("serve", 40),
        ("spend", 24),
        ("emo-body", 24),
        ("ledger", 24),
        ("emulator", 24),
        ("demo", 24),
        ("completions", 24),
        ("man", 24),
    ] {
        let Some(short) = on_a_terminal_of(80, &program_with([command, "-h"])) else { return };
        short.assert_status(0);
        let lines: Vec<&str> = short.stdout.lines().collect();
        assert!(lines.len() <= most, "{command}: {} lines\n{}", lines.len(), short.stdout);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", short.stdout);
        assert!(short.stdout.contains("\nExample"), "{command} has an example: {}", short.stdout);
        let example = lines.iter().find(|line| line.starts_with("  emo-preflight ")).unwrap();
        assert!(example.contains(command), "{command}: {example}");
    }
    let long = run(&mut program_with(["check", "--help"])).stdout;
    let short = run(&mut program_with(["check", "-h"])).stdout;
    let headings = ["Source:", "Local stage:", "Paid call:", "Ledger:", "Output:", "Examples:"];
    for help in [&long, &short] {
        let at: Vec<usize> = headings.iter().map(|heading| help.find(heading).unwrap()).collect();
        assert!(at.is_sorted(), "{help}");
    }
    for rare in ["--workspace", "--per-host", "--user-agent", "--ledger-wait", "--log"] {
        assert!(long.contains(rare) && !short.contains(rare), "{rare}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_option() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = run(&mut program_with(["completions", shell]));
        done.assert_status(0);
        for word in ["emo-body", "max-calls", "allow-private-network"] {
            assert!(done.stdout.contains(word), "{shell}: {word}");
        }
        assert_eq!(done.stderr, "");
    }
    let program = run(&mut program_with(["man"]));
    program.assert_status(0);
    assert!(program.stdout.contains(".TH emo-preflight 1"), "{}", program.stdout);
    assert!(program.stdout.contains("emo\\-preflight\\-check(1)"), "{}", program.stdout);
    let check = run(&mut program_with(["man", "check"])).stdout;
    assert!(check.contains(".TH emo-preflight-check 1"), "{check}");
    // What the short help leaves out is there with its words.
    assert!(check.contains("Requests under way to one host at a time"), "{check}");
    run(&mut program_with(["man", "chek"])).assert_status(2).says("found \"chek\"");
}

#[test]
fn colours_are_for_terminals_and_as_one_says() {
    let image = fixture("plain.png");
    let red = "\u{1b}[31mrejected_local ";
    let with = |more: &[&str]| {
        let mut command = program_with(["probe", &image]);
        command.args(more);
        command
    };
    for (more, no_color, coloured) in [
        ([].as_slice(), "", true),
        (&[], "1", false),
        (&["--color", "never"], "", false),
        (&["--color", "always"], "1", true),
        (&["--color", "auto"], "", true),
    ] {
        let mut command = with(more);
        command.env("NO_COLOR", no_color);
        let Some(done) = on_a_terminal(&command) else { return };
        assert_eq!(done.stdout.contains(red), coloured, "{more:?}: {}", done.stdout);
        assert_eq!(done.stdout.contains('\u{1b}'), coloured, "{more:?}: {}", done.stdout);
    }
    // In a pipe there are none, and in JSON never.
    let done = run(&mut with(&["--color", "always"]));
    assert!(!done.stdout.contains('\u{1b}'), "{}", done.stdout);
    let done = run(&mut program_with(["check", "a"]));
    assert!(!done.stderr.contains('\u{1b}'), "{}", done.stderr);
    let done = run(&mut program_with(["check", "a", "--color", "always"]));
    done.says("\u{1b}[31m\u{1b}[1merror:\u{1b}[0m no API key");
}

#[test]
fn rows_fit_the_terminal_and_their_sources_keep_both_ends() {
    let long =
        "https://images.example.invalid/portraits/2026/autumn/studio-seven/anna-4711.jpg?sig=s";
    let image = fixture("plain.png");
    for (columns, shown) in [
        (80, "https://ima…/anna-4711.jpg?…"),
        (120, "https://images.example.inva…2026/autumn/studio-seven/anna-4711.jpg?…"),
        (
            200,
            "https://images.example.invalid/portraits/2026/autumn/studio-seven/anna-4711.jpg?sig=…",
        ),
    ] {
        let mut command = program_with(["probe", "--timeout", "0.001", long, &image]);
        command.env("NO_COLOR", "1");
        let Some(done) = on_a_terminal_of(columns, &command) else { return };
        let table = done.stdout.split("2 images:").next().unwrap();
        for line in table.lines() {
            assert!(line.chars().count() <= columns.into(), "{columns}: {line}");
        }
        assert!(table.contains(shown), "{columns}: {table}");
        assert!(table.contains("PNG    33×17"), "sides are aligned at their cross: {table}");
    }
}

#[test]
fn quiet_leaves_errors_and_why_a_run_stopped() {
    let rig = rig();
    let good = rig.emu.serve("/good.png", Picture::png(400, 400));
    let small = rig.emu.serve("/small.png", Picture::png(399, 400));
    let done = run(&mut rig.check(["--quiet", good.url(), small.url()]));
    assert_eq!((done.status, done.stderr.as_str(), done.rows().len()), (Some(1), "", 2));
    let done = run(rig.check(["-q", good.url()]).env_remove("DASHSCOPE_API_KEY"));
    done.assert_status(2).says("error: no API key");

    let urls = [good.url(), small.url()].map(|url| format!("{url}?another"));
    let mut command = rig.check(["-q", "--concurrency", "1", "--max-calls", "0", "--run", "quiet"]);
    let done = run(command.args(urls));
    done.assert_status(4);
    assert_eq!(
        done.stderr,
        "stopped: cap_reached: the run \"quiet\" must have at most 0 calls that may be billed, found as many; \
         raise --max-calls and keep the run's name (--run), then go on with --resume\n"
    );
    run(&mut program_with(["demo", "-qv"])).assert_status(2).says("cannot be used with");
}

/// So many sources that the local stage refuses: what is asked about is what may be paid.
fn small_ones(rig: &Rig, count: usize) -> (Served, Vec<String>) {
    let small = rig.emu.serve("/small.png", Picture::png(399, 400));
    let urls = (0..count).map(|n| format!("{}?n={n}", small.url())).collect();
    (small, urls)
}

#[test]
fn a_run_from_a_terminal_that_may_cost_more_than_a_trial_is_asked_about() {
    let rig = rig();
    let (small, urls) = small_ones(&rig, 26);
    let list = file("asked.txt", urls.join("\n"));
    let list = list.to_str().unwrap();
    let ask = |more: &[&str], typed| {
        let mut command = rig.check(["--input", list]);
        typing(80, command.args(more).env("NO_COLOR", "1"), typed)
    };
    let question = "this run may make up to 26 calls, which is 0.104 CNY and 1 second at the most";
    for (typed, begins) in [
        ("y\n", true),
        ("YES\n", true),
        ("n\n", false),
        ("\n", false),
        ("yo\n", false),
        ("", false),
    ] {
        let before = rig.emu.fetches_of(&small);
        let Some(done) = ask(&[], typed) else { return };
        assert!(done.stdout.contains(question), "{}", done.stdout);
        assert_eq!(done.status, Some(if begins { 1 } else { 4 }), "{typed:?}: {}", done.stdout);
        assert_eq!(rig.emu.fetches_of(&small) > before, begins, "{typed:?}");
        assert_eq!(done.stdout.contains("not begun: nothing was fetched or paid"), !begins);
    }
    // Answered beforehand, or nothing to ask about.
    for more in [["--yes"].as_slice(), &["--max-calls", "26"], &["--dry-run"]] {
        let done = ask(more, "").unwrap();
        assert_eq!(done.status, Some(1), "{more:?}: {}", done.stdout);
        assert!(!done.stdout.contains("[y/N]"), "{more:?}");
    }
    let done = typing(80, rig.check([]).args(&urls[..25]), "").unwrap();
    assert_eq!(done.status, Some(1), "25 are a trial: {}", done.stdout);
    assert_eq!(rig.emu.calls(), 0);
}

#[test]
fn nobody_is_asked_where_nobody_is_there() {
    let rig = rig();
    let urls = small_ones(&rig, 40).1.join("\n");
    let list = file("unasked.txt", &urls);
    let done = run(&mut rig.check(["--input", list.to_str().unwrap()]));
    done.assert_status(1);
    assert!(!done.stderr.contains("[y/N]"), "{}", done.stderr);
    let done = run_fed(&mut rig.check(["--input", "-"]), urls.as_bytes());
    done.assert_status(1);
    // From the terminal itself come sources, not answers.
    let typed = format!("{}\n\u{4}", small_ones(&rig, 30).1.join("\n"));
    let Some(done) = typing(80, &rig.check(["--input", "-"]), &typed) else { return };
    assert_eq!(done.status, Some(1), "{}", done.stdout);
    assert!(!done.stdout.contains("[y/N]"), "{}", done.stdout);
}

#[test]
fn a_pipe_whose_length_nobody_knows_is_asked_about() {
    let rig = rig();
    let (small, urls) = small_ones(&rig, 2);
    let urls = urls.join("\\n");
    let check = rig.check([]);
    let mut words = vec![check.get_program().to_str().unwrap().to_owned()];
    words.extend(check.get_args().map(|word| word.to_str().unwrap().to_owned()));
    let line = format!("printf '{urls}\\n' | {} --input /dev/fd/3 3<&0 </dev/tty", words.join(" "));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).env("DASHSCOPE_API_KEY", KEY);
    let Some(done) = typing(80, &shell, "n\n") else { return };
    assert_eq!(done.status, Some(4), "{}", done.stdout);
    assert!(
        done.stdout.contains("nobody knows how many calls this run will make"),
        "{}",
        done.stdout
    );
    assert_eq!(rig.emu.fetches_of(&small), 0);
}

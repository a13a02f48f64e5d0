//! The key shows nowhere at all; what is secret in a URL shows on stdout as data, where it was
//! asked for verbatim, and nowhere else.

use emo_preflight::emulator::{Fate, Picture};

use crate::rig::{Done, KEY, file, on_a_terminal, program_with, rig, run};

#[test]
fn nothing_secret_reaches_stderr_however_much_is_logged() {
    let rig = rig();
    let sources = sources(&rig);
    let list = file("secrets.txt", sources.join("\n"));
    let list = list.to_str().unwrap();
    for log in [None, Some("trace"), Some("emo_preflight=trace,hyper=trace,reqwest=trace")] {
        let mut command = rig.check(["-vvv", "--timeout", "5", "--input", list]);
        let done = run(command.envs(log.map(|log| ("RUST_LOG", log))));
        assert!([Some(1), Some(3)].contains(&done.status), "{}", done.stderr);
        done.says("13 images: ");
        assert_eq!(done.rows().len(), sources.len());
        assert!(!done.stdout.contains(KEY));
        nothing_secret(&done.stderr);
        // Reasons are for people and logs: only `source` repeats what was given.
        for mut row in done.rows() {
            row.as_object_mut().unwrap().remove("source");
            nothing_secret(&row.to_string());
        }
    }
    let mut command = program_with(["probe", "-vvv", "--json", "--timeout", "5", "--input", list]);
    nothing_secret(&run(command.env("RUST_LOG", "trace")).stderr);
}

#[test]
fn nothing_secret_reaches_a_table() {
    let rig = rig();
    let list = file("secrets-table.txt", sources(&rig).join("\n"));
    let mut command = program_with(["check", "-vvv", "--allow-private-network", "--timeout", "5"]);
    command.args(["--rps", "1000", "--base-url", &rig.emu.base_url()]);
    command.args(["--input", list.to_str().unwrap()]);
    command.env("DASHSCOPE_API_KEY", KEY).env("RUST_LOG", "trace");
    let Some(done) = on_a_terminal(&command) else { return };
    assert_eq!(done.status, Some(3), "{}", done.stdout);
    let Done { stdout, stderr, .. } = &done;
    assert!(stdout.contains("good.png?Signature=…"), "{stdout}");
    nothing_secret(stdout);
    nothing_secret(stderr);
}

#[test]
fn nothing_secret_is_in_what_usage_errors_say() {
    for base in ["http://SECRET-user:SECRET-pw@192.0.2.1/?k=SECRET-q", "http://SECRET@h h/"] {
        let mut command = program_with(["check", "a.jpg"]);
        command.env("DASHSCOPE_API_KEY", KEY).env("DASHSCOPE_HTTP_BASE_URL", base);
        let done = run(&mut command);
        done.assert_status(2);
        nothing_secret(&done.stderr);
        let mut help = program_with(["check", "--help"]);
        help.env("DASHSCOPE_API_KEY", KEY).env("DASHSCOPE_HTTP_BASE_URL", base);
        nothing_secret(run(&mut help).assert_status(0).stdout.as_str());
    }
    for audio in [
        "ftp://SECRET-user:SECRET-pw@h/a.wav?Signature=SECRET-q",
        "https:/h/a.wav?Signature=SECRET-q",
        "https://SECRET-user@h:99999/a.wav?Signature=SECRET-q#SECRET",
        "h/a.wav?Signature=SECRET q",
    ] {
        let done = run(&mut program_with(["emo-body", "-", "--audio-url", audio]));
        done.assert_status(2);
        nothing_secret(&done.stderr);
    }
}

/// Sources of every kind, most of them with something secret in it.
fn sources(rig: &crate::rig::Rig) -> Vec<String> {
    let emu = &rig.emu;
    let good = emu.serve("/good.png", Picture::png(400, 400));
    let small = emu.serve("/small.png", Picture::png(300, 400));
    let busy = emu.serve("/busy.png", Picture::png(400, 400));
    let lost = emu.serve("/lost.png", Picture::png(400, 400));
    let odd = emu.serve("/odd", Picture::redirect("ftp://SECRET-u:SECRET-p@h/?sig=SECRET-to"));
    let broken = emu.serve("/broken", Picture::redirect("http://SECRET-u@[::1/?sig=SECRET-to"));
    let away = emu.serve("/away", Picture::redirect("http://127.0.0.1:1/?sig=SECRET-to#SECRET"));
    emu.script(&busy, [Fate::throttled(), Fate::throttled()]);
    emu.script(&lost, [Fate::judge().reset(), Fate::judge().reset(), Fate::judge().reset()]);
    let query = "?Signature=SECRET-sig&Expires=SECRET-exp#SECRET-fragment";
    let with_user = |url: &str| url.replace("http://", "http://SECRET-user:SECRET-pw@");
    vec![
        with_user(good.url()) + query,
        small.url().to_owned() + query,
        busy.url().to_owned() + query,
        lost.url().to_owned() + query,
        odd.url().to_owned() + query,
        broken.url().to_owned() + query,
        away.url().to_owned() + query,
        format!("http://SECRET-user:SECRET-pw@127.0.0.1:1/a.jpg{query}"),
        // Not URLs, and as secret: a port too high, a blank inside, a broken line of JSON.
        format!("http://SECRET-user:SECRET-pw@h:99999/a.jpg{query}"),
        format!("http://SECRET-user:SECRET-pw@h h/a.jpg{query}"),
        format!(r#"{{"image_url": "https://SECRET-user@h/a.jpg{query}""#),
        format!(r#"{{"image_url": "https:\/\/SECRET-user@h\/a.jpg{query}""#),
        format!(r#"{{"image_url": ["https://h/a.jpg{query}"]}}"#),
    ]
}

fn nothing_secret(text: &str) {
    assert!(!text.contains(KEY), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

//! `--dry-run`: what would it cost? Without a key, a call, or a byte of the ledger changed.

use emo_preflight::emulator::{Fate, Picture};

use super::desk::{Desk, INPUT, LEDGER, RESULTS};
use crate::rig::{by_index, gists, run};

#[test]
fn without_ledger_every_image_that_passes_would_be_a_call() {
    let desk = Desk::new();
    let images = desk.images(2);
    let small = desk.rig.emu.serve("/small.png", Picture::png(399, 400));
    desk.list(&[images[0].clone(), small, images[1].clone()]);
    let done = run(&mut desk.dry_run([]));
    done.assert_status(1).says(
        "would make at most 2 calls for at most 0.008 CNY; rejected for free: 1 (saves up to \
         0.004 CNY)",
    );
    assert_eq!(
        gists(&by_index(done.rows())),
        ["eligible", "rejected_local shortest_side_below_min", "eligible"]
    );
    done.says(&format!("ledger: {} (not there yet)\n", desk.at(LEDGER)));
    assert_eq!(desk.names(), [INPUT], "ledger that are not there are not made");
    assert_eq!(desk.rig.emu.calls(), 0);
    // Nor is their folder.
    run(&mut desk.dry_run(["--ledger", &desk.at("far/away/ledger.db")])).assert_status(1);
    assert_eq!(desk.names(), [INPUT]);
    desk.rig.emu.finish();
}

#[test]
fn what_the_ledger_know_costs_nothing_and_they_stay_as_they_are() {
    let desk = Desk::new();
    let images = desk.listed(5);
    desk.rig.emu.script(&images[1], [Fate::refused_by_model()]);
    desk.rig.emu.script(&images[2], [Fate::judge().reset()]);
    let known: Vec<&str> = images[..3].iter().map(|image| image.url()).collect();
    run(&mut desk.check(known)).assert_status(3);
    let bytes = || std::fs::read(desk.path(LEDGER)).unwrap();
    let owners = || std::fs::read_dir(desk.path("ledger.db-owners")).unwrap().count();
    let (before, owners_before) = (bytes(), owners());

    let done = run(&mut desk.dry_run([]));
    done.assert_status(3).says("would make at most 2 calls for at most 0.008 CNY");
    done.says(&format!("ledger: {}\n", desk.at(LEDGER)));
    let rows = by_index(done.rows());
    assert_eq!(
        gists(&rows),
        [
            "accepted",
            "rejected_remote check_pass_false",
            "failed billing_unknown",
            "eligible",
            "eligible"
        ]
    );
    let from: Vec<bool> = rows.iter().map(|row| row["from_ledger"] == true).collect();
    assert_eq!(from, [true, true, true, false, false]);
    assert_eq!(rows[0]["billing"]["images"], 1, "the bill of then");

    // An unknown one would be asked again if that were wished, and every one that is too old.
    run(&mut desk.dry_run(["--retry-unknown"])).says("would make at most 3 calls for");
    run(&mut desk.dry_run(["--retry-unknown", "--max-calls", "2"]))
        .says("would make at most 2 calls of 3 (--max-calls) for at most 0.008 CNY");
    run(&mut desk.dry_run(["--ledger-max-age", "1h"])).says("would make at most 2 calls for");
    run(&mut desk.dry_run(["--ledger-max-age", "0s"])).says("would make at most 4 calls for");

    assert_eq!((bytes(), owners()), (before, owners_before));
    assert_eq!(desk.rig.emu.calls(), 3);

    // It was right: so many calls, so much money.
    let billed = desk.rig.emu.billed();
    run(&mut desk.check(["--input", &desk.at(INPUT)])).assert_status(3);
    assert_eq!((desk.rig.emu.calls(), desk.rig.emu.billed()), (5, billed + 2));
    desk.rig.emu.finish();
}

#[test]
fn one_that_was_broken_off_sums_up_all_of_it_in_the_end() {
    let desk = Desk::new();
    let mut images = desk.images(4);
    images.push(desk.rig.emu.serve("/small.png", Picture::png(399, 400)));
    desk.list(&images);
    let output = ["--output", &desk.at(RESULTS)];
    run(&mut desk.dry_run(output)).assert_status(1).says("at most 4 calls for at most 0.016 CNY");
    let all = desk.get(RESULTS);
    let kept: Vec<&str> = all.lines().take(3).collect();
    desk.put(RESULTS, kept.join("\n") + "\n");
    let done = run(desk.dry_run(output).arg("--resume"));
    done.assert_status(1).says("3 of 5 images done before");
    done.says("would make at most 4 calls for at most 0.016 CNY; rejected for free: 1");
    assert_eq!(desk.results().len(), 5);
    // The calls themselves then take up the same file.
    run(&mut desk.resume([])).assert_status(1).says("1 of 5 images done before");
    assert_eq!(gists(&desk.results())[..4], ["accepted"; 4]);
    assert_eq!(desk.rig.emu.billed(), 4);
    desk.rig.emu.finish();
}

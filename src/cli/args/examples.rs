//! What the help shows below the options: an example for each command.

/// Below the help of the program.
pub(super) const PROGRAM: &str = "\
First steps:
  emo-preflight demo                              see it work: no key, no network
  emo-preflight probe portrait.jpg                free: can this image pass?
  emo-preflight check --dry-run --input urls.txt  free: what would calls cost?
  emo-preflight check --input urls.txt --output results.jsonl";

pub(super) const PROBE: &str = "\
Examples:
  emo-preflight probe portrait.jpg https://example.org/a.jpg
  emo-preflight probe --input urls.txt --output probed.jsonl";

pub(super) const CHECK: &str = "\
Examples:
  emo-preflight check --dry-run --input urls.txt        (free, needs no key)
  emo-preflight check --input urls.txt --output results.jsonl --max-calls 100";

pub(super) const CHECK_LONG: &str = "\
Examples:
  emo-preflight check --dry-run --input urls.txt
      What calls would cost. Free, needs no key.
  emo-preflight check --input urls.txt --output results.jsonl --max-calls 100 --run pilot
      Pay for 100 calls at the most.
  emo-preflight check --input urls.txt --output results.jsonl --resume
      Go on after a stop; what is done is not done again.

Exit status:
  0  all accepted or eligible          3    some undetermined or failed
  1  some rejected or mismatched       4    stopped early, not confirmed, or no ledger
  2  a wrong argument or setting       130  SIGINT (143: SIGTERM, 129: SIGHUP)";

pub(super) const SERVE: &str = "\
Example:
  emo-preflight serve --max-calls 1000 --run december
  Where clients run: export DASHSCOPE_HTTP_BASE_URL=http://127.0.0.1:8485/api/v1";

pub(super) const SPEND: &str = "\
Examples:
  emo-preflight spend --since 2026-01-01
  emo-preflight spend --unknown          (calls that may have been billed)";

pub(super) const EMO_BODY: &str = "\
Example:
  emo-preflight emo-body results.jsonl --audio-url https://example.org/a.wav > bodies.jsonl";

pub(super) const LEDGER: &str = "\
Examples:
  emo-preflight ledger export > results.jsonl
  emo-preflight ledger adopt --ledger copy.db
  emo-preflight ledger schema | psql postgres://admin@host/database";

pub(super) const LEDGER_EXPORT: &str = "\
Example:
  emo-preflight ledger export > results.jsonl";

pub(super) const LEDGER_ADOPT: &str = "\
Example:
  emo-preflight ledger adopt --ledger copy.db";

pub(super) const LEDGER_SCHEMA: &str = "\
Example:
  emo-preflight ledger schema | psql postgres://admin@host/database";

pub(super) const EMULATOR: &str = "\
Example:
  emo-preflight emulator --listen 127.0.0.1:8484
  It prints what to try in another terminal.";

pub(super) const DEMO: &str = "\
Example:
  emo-preflight demo";

pub(super) const COMPLETIONS: &str = "\
Examples:
  source <(emo-preflight completions bash)
  emo-preflight completions fish > ~/.config/fish/completions/emo-preflight.fish";

pub(super) const MAN: &str = "\
Examples:
  emo-preflight man > emo-preflight.1
  emo-preflight man check | man -l -";

pub(super) const REPORT: &str = "\
Examples:
  emo-preflight report results.jsonl -o report.html
  emo-preflight report results.jsonl -o report.html --embed    (with small copies of the images)";

pub(super) const ANNOTATE: &str = "\
Examples:
  emo-preflight annotate results.jsonl -o boxes
  emo-preflight annotate results.jsonl -o crops --crop         (what EMO will see)";

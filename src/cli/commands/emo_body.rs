//! `emo-body`: from a results file the request bodies of the video model.

use crate::cli::args::EmoBodyArguments;
use crate::cli::input::results;
use crate::cli::output::Lines;
use crate::cli::status::Status;
use crate::cli::terminal::text;
use crate::run::http_url;
use crate::{EmoRequest, HandOffError, Mismatch};

pub(in crate::cli) fn run(arguments: &EmoBodyArguments) -> anyhow::Result<Status> {
    // Not by the argument parser, which would repeat it with its signature.
    http_url(&arguments.audio_url)
        .map_err(|reason| anyhow::anyhow!("cannot use --audio-url: {}", reason.message))?;
    let mismatch = if arguments.accept_mismatch { Mismatch::Accept } else { Mismatch::Refuse };
    let mut out = Lines::new("bodies");
    let (mut bodies, mut others, mut mismatches) = (0_u64, 0_u64, 0_u64);
    for report in results::read(&arguments.results)? {
        let report = report?;
        match EmoRequest::new(&report, &arguments.audio_url, arguments.style_level, mismatch) {
            Ok(body) => {
                bodies += 1;
                out.write(serde_json::to_string(&body)?)?;
            }
            Err(HandOffError::Mismatch(codes)) => {
                mismatches += 1;
                let source = text::source(&report.source, 90);
                text::say(format_args!("left out {source}: {}", text::plain(&codes)));
            }
            Err(_) => others += 1,
        }
    }
    out.finish()?;
    text::say(format_args!(
        "{}; left out: {others} not accepted, {mismatches} whose boxes do not hold{}",
        text::count(bodies, "request body", "request bodies"),
        if mismatches > 0 { " (--accept-mismatch hands them on)" } else { "" },
    ));
    Ok(if mismatches > 0 { Status::Rejected } else { Status::Good })
}

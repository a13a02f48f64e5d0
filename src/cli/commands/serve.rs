//! `serve`: the gate as an HTTP service.

use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::cli::args::ServeArguments;
use crate::cli::status::Status;
use crate::cli::terminal::{summary, text};
use crate::cli::{hints, signals};
use crate::serve::{ServeOptions, ServerToken, serve};
use crate::{ApiKey, Ledger};

/// Serves until a signal comes.
pub(in crate::cli) async fn run(arguments: ServeArguments) -> anyhow::Result<Status> {
    arguments.gate.hold_cap_of("serve")?;
    let key = hints::key_from_env()?;
    let place = arguments.gate.ledger.place()?;
    let timing = arguments.gate.timing;
    let options = ServeOptions {
        token: token_from_env()?,
        pass_through: arguments.pass_through,
        run: arguments.local.run_options(),
        grace: arguments.gate.call_timeout + place.patience().max(GRACE),
        ..ServeOptions::default()
    };
    if !arguments.listen.ip().is_loopback() && options.token.is_none() {
        bail!(
            "a server on another address than loopback must have a token, found none for {}; set \
             {TOKEN} to a long random text, which every caller must show",
            arguments.listen
        );
    }
    // The default one lies in a home directory, which a container's end takes along.
    if !arguments.listen.ip().is_loopback() && arguments.gate.ledger.ledger.is_none() {
        bail!(
            "a server on another address than loopback must have its ledger named, found none for {}; \
             name it with --ledger or EMO_PREFLIGHT_LEDGER",
            arguments.listen
        );
    }
    let listen = arguments.listen;
    let listener = bind(listen).with_context(|| {
        format!("cannot listen on {listen}; choose another with --listen ADDRESS:PORT")
    })?;
    let work = async |ledger| serve_on(&arguments, key, ledger, listener, options).await;
    place.with_ledger(timing.ledger, work).await
}

async fn serve_on(
    arguments: &ServeArguments,
    key: ApiKey,
    ledger: Ledger,
    listener: TcpListener,
    options: ServeOptions,
) -> anyhow::Result<Status> {
    let probe = arguments.screen.added_to(arguments.local.probe_options())?;
    let gate = arguments.gate.gate(key, ledger, probe).build().await?;
    let address = listener.local_addr()?;
    // Listening for signals begins before the first request can come.
    let stopped = signals::first("no new request; waiting for calls that have left");
    let stopped = async { _ = stopped.await };
    let mut server = pin!(serve(listener, gate.clone(), options, stopped));
    // One that must not serve says so at once.
    if let Some(refused) = server.as_mut().now_or_never() {
        refused?;
    }
    // For programs; people find it below too, so it does not matter if nobody reads it.
    let _ = writeln!(std::io::stdout(), "http://{address}/api/v1");
    let shown = match address.ip().is_unspecified() {
        true => format!("NAME-OF-THIS-HOST:{}", address.port()),
        false => address.to_string(),
    };
    text::say(format_args!(
        "serving; Ctrl-C ends it. For a DashScope client in another process:\n  \
         export DASHSCOPE_HTTP_BASE_URL=http://{shown}/api/v1"
    ));
    server.await?;
    let spent = gate.close().await;
    summary::say_if_throttled(gate.activity(), arguments.gate.rps);
    text::say(format_args!(
        "{} made, {} billed for certain, {} of unknown bill",
        text::count(spent.calls, "call", "calls"),
        text::count(spent.images, "image", "images"),
        spent.unknown
    ));
    Ok(Status::Good)
}

/// With room for a burst of connections: the usual 128 would make the others wait for seconds.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn token_from_env() -> anyhow::Result<Option<ServerToken>> {
    match std::env::var(TOKEN) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(ServerToken::new(text).context(TOKEN)?)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            bail!("{TOKEN}: the token must be printable ASCII without spaces")
        }
    }
}

/// Beyond the time-out of a call, at least: for an answer that came when the disk was in the way.
const GRACE: Duration = Duration::from_secs(40);

const BACKLOG: u32 = 1_024;

const TOKEN: &str = "EMO_PREFLIGHT_TOKEN";

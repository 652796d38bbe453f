//! Ctrl-C, once and twice.

use anyhow::{Result, bail};
use cah_worker::Stop;

/// Listens for Ctrl-C (and SIGTERM): the first one lets the shard under way end, the second gives
/// it back.
pub(crate) fn on_signals(stop: Stop, display: crate::display::Display) {
    tokio::spawn(async move {
        signal().await;
        display.line("Stopping after this shard; Ctrl-C again gives it back and stops at once.");
        stop.after_shard();
        signal().await;
        display.line("Giving the shard back.");
        stop.now();
    });
}

/// Runs `work` until it ends or a signal comes.
pub(crate) async fn or_interrupted<T>(
    hint: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = signal() => bail!("interrupted; {hint}"),
    }
}

/// Ends with the next Ctrl-C or SIGTERM.
pub(crate) async fn signal() {
    let terminated = async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            match signal(SignalKind::terminate()) {
                Ok(mut signals) => drop(signals.recv().await),
                Err(_) => std::future::pending().await,
            }
        }
        #[cfg(not(unix))]
        std::future::pending::<()>().await
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

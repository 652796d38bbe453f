//! The one way in which opening and reading are tried again.

use std::time::Duration;

use crate::error::{Result, SourceError};

/// How often in a row something that failed is tried again.
const RETRIES: u32 = 6;

/// The pause before the first retry; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The failures in a row of something that is tried until it goes well.
#[derive(Debug, Default)]
pub(crate) struct Retries(u32);

impl Retries {
    /// Waits before the next try, or gives the error back where none can help.
    pub(crate) async fn pause_after(&mut self, error: SourceError) -> Result<()> {
        if !error.may_pass() || self.0 == RETRIES {
            return Err(error);
        }
        let pause = FIRST_PAUSE * 2u32.pow(self.0);
        self.0 += 1;
        tracing::warn!("{error}; trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// It went well: what fails from now on is another failure.
    pub(crate) fn forget(&mut self) {
        self.0 = 0;
    }
}

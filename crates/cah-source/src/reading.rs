//! A transfer under way, taken up where it breaks.

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use tokio::time::{Instant, timeout};

use crate::{
    AnySource,
    error::{Result, SourceError},
    pace::Pace,
    retry::Retries,
};

/// What brings the bytes of a file.
pub(crate) struct Opened {
    pub(crate) bytes: BoxStream<'static, Result<Bytes>>,
    /// Where in the file they begin: before the start that was asked for, where a server has no
    /// ranges.
    pub(crate) at: u64,
}

/// A transfer under way; `open` begins it anew at an offset.
pub(crate) struct Reading<O> {
    source: AnySource,
    open: O,
    position: u64,
    opened: Option<Opened>,
    is_over: bool,
    retries: Retries,
    pace: Pace,
}

impl<O, F> Reading<O>
where
    O: Fn(u64) -> F,
    F: Future<Output = Result<Opened>>,
{
    pub(crate) fn new(source: AnySource, start: u64, open: O) -> Self {
        Self {
            is_over: source.length.is_some_and(|length| start >= length),
            source,
            open,
            position: start,
            opened: None,
            retries: Retries::default(),
            pace: Pace::default(),
        }
    }

    /// The next bytes. The time is counted that they take, not the one in which nobody wants any.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.is_over {
            let begun = Instant::now();
            let came = timeout(self.pace.left(), self.come()).await;
            self.pace.waited(begun.elapsed());
            let came = came.map_err(|_| SourceError::TooSlow(self.source.location.to_string()))?;
            let wanted = self.wanted(came?);
            if !wanted.is_empty() {
                return Ok(Some(wanted));
            }
        }
        Ok(None)
    }

    /// What comes next, wherever in the file; nothing after a failure, once it is time to try again.
    async fn come(&mut self) -> Result<Bytes> {
        match self.attempt().await {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                self.opened = None;
                self.retries.pause_after(error).await?;
                Ok(Bytes::new())
            }
        }
    }

    async fn attempt(&mut self) -> Result<Bytes> {
        let opened = match &mut self.opened {
            Some(opened) => opened,
            none => none.insert((self.open)(self.position).await?),
        };
        match (opened.bytes.next().await, self.source.length) {
            (Some(bytes), _) => bytes,
            (None, Some(length)) => Err(self.source.ended_at(self.position, length)),
            (None, None) => {
                self.is_over = true;
                Ok(Bytes::new())
            }
        }
    }

    /// The part of what came that stands at the position or behind it.
    fn wanted(&mut self, mut came: Bytes) -> Bytes {
        let Some(opened) = &mut self.opened else {
            return came;
        };
        let from = opened.at;
        opened.at += came.len() as u64;
        self.pace.received(from, opened.at);
        let before = usize::try_from(self.position - from).unwrap_or(usize::MAX);
        let wanted = came.split_off(before.min(came.len()));
        if !wanted.is_empty() {
            self.position = opened.at;
            self.retries.forget();
            self.is_over = self.source.length.is_some_and(|end| self.position >= end);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, time::Duration};

    use futures::stream;
    use tokio::time::sleep;

    use super::*;
    use crate::{Place, pace::SLOWEST_PER_SECOND};

    const LENGTH: u64 = 100 << 20;

    fn source(length: Option<u64>) -> AnySource {
        AnySource {
            location: "http://h/x".into(),
            place: Place::File("x".into()),
            length,
        }
    }

    /// Chunks of so many bytes, each of which takes so long.
    fn drip(size: usize, pause: Duration) -> BoxStream<'static, Result<Bytes>> {
        let chunk = move |()| async move {
            sleep(pause).await;
            Some((Ok(Bytes::from(vec![0; size])), ()))
        };
        stream::unfold((), chunk).boxed()
    }

    async fn read<F>(
        reading: &mut Reading<impl Fn(u64) -> F>,
        pause: Duration,
    ) -> (u64, Option<SourceError>)
    where
        F: Future<Output = Result<Opened>>,
    {
        let mut read = 0;
        loop {
            match reading.next().await {
                Ok(Some(bytes)) => read += bytes.len() as u64,
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error)),
            }
            sleep(pause).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_drips_is_given_up() {
        let open = |at| {
            let bytes = drip(1, Duration::from_secs(50));
            ready(Ok(Opened { bytes, at }))
        };
        let mut reading = Reading::new(source(Some(LENGTH)), 0, open);
        let (read, error) = read(&mut reading, Duration::ZERO).await;
        assert!(matches!(error, Some(SourceError::TooSlow(_))), "{error:?}");
        assert!((1..10).contains(&read), "{read}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_breaks_off_after_each_byte_is_given_up() {
        let open = |at| {
            let cut = Err(SourceError::broken("x", "cut"));
            let bytes = stream::iter([Ok(Bytes::from_static(b"x")), cut]).boxed();
            ready(Ok(Opened { bytes, at }))
        };
        let mut reading = Reading::new(source(Some(LENGTH)), 0, open);
        let (_, error) = read(&mut reading, Duration::ZERO).await;
        assert!(matches!(error, Some(SourceError::TooSlow(_))), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_and_a_slow_reader_are_waited_for() {
        // Nothing of the first half is wanted, but it comes.
        let open = |_| {
            let bytes = drip(SLOWEST_PER_SECOND as usize, Duration::from_secs(1));
            ready(Ok(Opened { bytes, at: 0 }))
        };
        let mut reading = Reading::new(source(Some(LENGTH)), LENGTH / 2, open);
        let read = read(&mut reading, Duration::from_secs(600)).await;
        assert!(matches!(read, (left, None) if left == LENGTH / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_before_the_start_are_thrown_away() {
        for (start, left) in [(0, "abcdef"), (1, "bcdef"), (4, "ef"), (9, "")] {
            let open = |_| {
                let chunks = ["ab", "cd", "ef"].map(|text| Ok(Bytes::from(text)));
                let bytes = stream::iter(chunks).boxed();
                ready(Ok(Opened { bytes, at: 0 }))
            };
            let mut reading = Reading::new(source(None), start, open);
            let mut read = Vec::new();
            while let Some(bytes) = reading.next().await.unwrap() {
                read.extend_from_slice(&bytes);
            }
            assert_eq!(read, left.as_bytes());
        }
    }
}

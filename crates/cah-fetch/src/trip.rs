//! One URL's way to its bytes: turns at hosts, hops and retries.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use url::Url;

use crate::{
    answer::{self, Verdict},
    body,
    classify::{classify, host_of},
    clock::Clock,
    error::{FetchError, RedirectFault},
    fetcher::{Fetched, Parts},
    host::Slot,
    hosts, retry, target,
};

/// The state of one fetch.
pub(crate) struct Trip<'p> {
    parts: &'p Parts,
    clock: Clock,
    url: Url,
    /// The URLs that redirected.
    passed: Vec<Url>,
    /// Kept from hop to hop at the same host, so that a redirect does not queue behind others.
    slot: Option<Slot>,
    retries: u32,
}

/// What one request came to.
enum Arrival {
    Image(Image),
    Elsewhere(HeaderValue),
}

struct Image {
    bytes: Bytes,
    content_type: Option<String>,
    status: u16,
}

impl<'p> Trip<'p> {
    pub(crate) fn new(parts: &'p Parts, url: Url, queue: Duration, deadline: Duration) -> Self {
        Self {
            parts,
            clock: Clock::new(queue, deadline),
            url,
            passed: Vec::new(),
            slot: None,
            retries: 0,
        }
    }

    /// Goes on until there are bytes or an error that no retry can mend.
    pub(crate) async fn run(mut self) -> Result<Fetched, FetchError> {
        loop {
            match self.visit().await {
                Ok(Arrival::Image(image)) => return Ok(self.finish(image)),
                Ok(Arrival::Elsewhere(location)) => self.follow(&location)?,
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Sends one request when it is its turn, and tells its host how that went.
    async fn visit(&mut self) -> Result<Arrival, FetchError> {
        self.refuse_private_literal()?;
        let mut slot = self.slot_at_host().await?;
        let turn = slot.start(&self.parts.places);
        let _place = self.clock.queue(turn).await?;
        let request = self.parts.request(&self.url);
        let result = self.clock.work(request).await.flatten();
        match &result {
            Ok(_) => slot.was_content(),
            Err(error @ FetchError::Status { retry_after, .. })
                if retry::is_complaint(error.kind()) =>
            {
                slot.complained(*retry_after);
            }
            Err(_) => {}
        }
        self.slot = Some(slot);
        result
    }

    fn refuse_private_literal(&self) -> Result<(), FetchError> {
        match target::literal(&self.url) {
            Some(address) if !self.parts.filter.permits(address) => {
                let host = host_of(&self.url);
                Err(FetchError::PrivateAddress { host })
            }
            _ => Ok(()),
        }
    }

    /// The slot in hand if it is one at this URL's host; otherwise it is given back before
    /// another one is waited for, so that no two fetches can wait for each other.
    async fn slot_at_host(&mut self) -> Result<Slot, FetchError> {
        let key = hosts::key(&self.url);
        match self.slot.take() {
            Some(slot) if slot.key() == key => Ok(slot),
            other => {
                drop(other);
                let host = self.parts.hosts.get(&key);
                self.clock.queue(host.slot()).await
            }
        }
    }

    fn follow(&mut self, location: &HeaderValue) -> Result<(), FetchError> {
        let to = target::redirect(&self.url, location).map_err(FetchError::BadRedirect)?;
        let from = std::mem::replace(&mut self.url, to);
        self.passed.push(from);
        if self.passed.contains(&self.url) {
            return Err(FetchError::BadRedirect(RedirectFault::Loop));
        }
        if self.passed.len() > self.parts.max_redirects as usize {
            return Err(FetchError::BadRedirect(RedirectFault::TooMany));
        }
        Ok(())
    }

    /// Waits before another try at the same hop, or gives the error back. Nothing is held
    /// meanwhile: the next try queues again.
    async fn recover(&mut self, error: FetchError) -> Result<(), FetchError> {
        let left = self.clock.work_left();
        let jitter = rand::random();
        let Some(pause) = self.parts.retries.pause(&error, self.retries, left, jitter) else {
            return Err(error);
        };
        tracing::debug!(url = %self.url, %error, ?pause, "tries again");
        self.slot = None;
        self.retries += 1;
        self.clock.work(tokio::time::sleep(pause)).await
    }

    fn finish(self, image: Image) -> Fetched {
        Fetched {
            bytes: image.bytes,
            content_type: image.content_type,
            final_url: self.url,
            status: image.status,
            // At most `max_redirects`, which is a u32.
            redirects: self.passed.len() as u32,
            retries: self.retries,
            queued: self.clock.queued(),
            elapsed: self.clock.worked(),
        }
    }
}

impl Parts {
    /// One request, judged on its headers and read to its end.
    async fn request(&self, url: &Url) -> Result<Arrival, FetchError> {
        let answer = self.client.get(url.clone()).send().await;
        let answer = answer.map_err(|error| classify(&error, url))?;
        let status = answer.status();
        match answer::judge(status, answer.headers(), &self.wishes)? {
            Verdict::GoTo(location) => Ok(Arrival::Elsewhere(location)),
            Verdict::Read { content_type } => Ok(Arrival::Image(Image {
                bytes: body::read(answer, self.max_bytes).await?,
                content_type,
                status: status.as_u16(),
            })),
        }
    }
}

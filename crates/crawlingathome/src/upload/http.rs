//! `PUT` to a web server: the tracker's own staging, or a presigned URL of a bucket.

use std::time::Duration;

use bytes::Bytes;
use cah_fetch::ErrorKind;
use cah_protocol::is_loopback;
use cah_source::{GRACE, SLOWEST_PER_SECOND};
use futures::{Stream, StreamExt, stream};
use reqwest::{Body, Response, StatusCode, Url, header, redirect};
use tokio::{sync::watch, time::timeout};

use super::{Upload, UploadError, shown};
use crate::api::{first_line, root_cause};

/// A file of this length is not sent before a server that does not want it had time to say so: one
/// that hangs up midway is not heard any more.
const LARGE: u64 = 1 << 20;
const HESITATION: Duration = Duration::from_secs(1);

/// How long a server may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

impl Upload {
    /// Sends the file, again and again where that may help.
    pub(super) async fn by_http(&self, mut url: Url) -> Result<String, UploadError> {
        if url.path().ends_with('/') && url.query().is_none() {
            let path = format!("{}{}", url.path(), self.name);
            url.set_path(&path);
        }
        let http = self.http_client(&url)?;
        let attempt = || self.put(&http, &url);
        self.retry.run(attempt, UploadError::can_pass).await
    }

    fn http_client(&self, url: &Url) -> Result<reqwest::Client, UploadError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("crawlingathome/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT);
        let client = match &self.guard {
            Some(guard) => guard.watch(client),
            None if url.host_str().is_some_and(is_loopback) => client.no_proxy(),
            None => client,
        };
        // A redirect would have to be sent the whole file again.
        let client = client.redirect(redirect::Policy::none()).build();
        client.map_err(|error| UploadError::Setup(root_cause(&error)))
    }

    async fn put(&self, http: &reqwest::Client, url: &Url) -> Result<String, UploadError> {
        let place = shown(url.as_str());
        let broken = |reason: String| UploadError::Broken {
            place: place.clone(),
            reason,
        };
        if let Some(guard) = &self.guard {
            let checked = guard.check(url.as_str()).await;
            checked.map_err(|error| match error.kind() {
                ErrorKind::PrivateAddress => UploadError::Private(place.clone()),
                _ => broken(error.to_string()),
            })?;
        }
        // A server that takes nothing, or says nothing to what it took, gets the grace only.
        let deadline = GRACE + Duration::from_secs(self.length / SLOWEST_PER_SECOND);
        let (moved, moves) = watch::channel(());
        let bytes = self.hesitant_bytes().await?;
        let bytes = bytes.inspect(move |_| moved.send_replace(()));
        let request = http
            .put(url.clone())
            .header(header::CONTENT_LENGTH, self.length)
            .timeout(deadline)
            .body(Body::wrap_stream(bytes));
        let answer = while_it_moves(request.send(), moves).await;
        let answer = answer.ok_or_else(|| broken("nothing moves any more".into()))?;
        let answer = answer.map_err(|error| broken(root_cause(&error)))?;
        let status = answer.status();
        let text = answer_of(answer).await;
        match status.is_success() {
            true => Ok(handed_in(status, &text, url)),
            false => Err(UploadError::Refused {
                place,
                status: status.as_u16(),
                text,
            }),
        }
    }

    async fn hesitant_bytes(
        &self,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>, UploadError> {
        let bytes = self.bytes().await?;
        let hesitation = match self.length {
            LARGE.. => HESITATION,
            _ => Duration::ZERO,
        };
        Ok(stream::once(async move {
            tokio::time::sleep(hesitation).await;
            bytes
        })
        .flatten())
    }
}

/// What comes of a call, or nothing where no byte moved for too long.
async fn while_it_moves<F: Future>(call: F, mut moves: watch::Receiver<()>) -> Option<F::Output> {
    let mut call = std::pin::pin!(call);
    loop {
        let moved = tokio::select! {
            came_out = &mut call => return Some(came_out),
            moved = timeout(GRACE, moves.changed()) => moved.ok()?,
        };
        if moved.is_err() {
            // Everything is sent, and what is left is to hear of it.
            return timeout(GRACE, call).await.ok();
        }
    }
}

/// The first line of an answer; what cannot be read of it says nothing.
async fn answer_of(mut answer: Response) -> String {
    /// No answer to an upload is longer.
    const MOST: usize = 16 << 10;
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        text.extend_from_slice(&chunk[..chunk.len().min(MOST - text.len())]);
        if text.len() == MOST {
            break;
        }
    }
    first_line(&String::from_utf8_lossy(&text))
}

/// Where the file is found: a tracker's own staging says so, elsewhere it is where it was sent, less
/// what gave the right to send it there.
fn handed_in(status: StatusCode, text: &str, url: &Url) -> String {
    let told = Url::parse(text.trim()).ok();
    let told = told.filter(|told| matches!(told.scheme(), "http" | "https"));
    match (status, told) {
        (StatusCode::CREATED, Some(_)) => text.trim().to_owned(),
        _ => {
            let mut url = url.clone();
            url.set_query(None);
            url.set_fragment(None);
            // These fail where a URL has no host, which this has.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_waited_for_while_it_moves() {
        let (moved, moves) = watch::channel(());
        let call = async move {
            for _ in 0..3 {
                sleep(GRACE / 2).await;
                moved.send_replace(());
            }
            drop(moved);
            sleep(GRACE / 2).await;
        };
        assert!(while_it_moves(call, moves).await.is_some());

        let (moved, moves) = watch::channel(());
        assert!(
            while_it_moves(pending::<()>(), moves.clone())
                .await
                .is_none()
        );
        drop(moved);
        assert!(while_it_moves(pending::<()>(), moves).await.is_none());
    }

    #[test]
    fn what_is_handed_in_gives_no_rights_away() {
        let url = Url::parse("https://u:p@b.example.org/x/1.tar?X-Amz-Signature=1").unwrap();
        let bare = "https://b.example.org/x/1.tar";
        for (status, text, expected) in [
            (201, "http://t/staging/1-a\n", "http://t/staging/1-a"),
            (200, "http://t/staging/1-a", bare),
            (201, "", bare),
            (201, "<html>created</html>", bare),
            (204, "", bare),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(handed_in(status, text, &url), expected, "{status} {text}");
        }
    }
}

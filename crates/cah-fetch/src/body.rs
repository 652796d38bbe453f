//! Reads a body no further than the limit.

use bytes::Bytes;
use reqwest::Response;

use crate::{
    classify::{classify, host_of},
    error::FetchError,
};

/// What is set aside for a body before its first byte came, whatever length it announces.
const FIRST_RESERVE: usize = 64 << 10;

/// Reads the whole body, at most `limit` bytes of it.
///
/// # Errors
/// `TooLarge` as soon as the announced length or what came exceeds the limit; `Transfer` if the
/// body breaks off or ends before the announced length.
pub(crate) async fn read(mut response: Response, limit: usize) -> Result<Bytes, FetchError> {
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(FetchError::TooLarge { limit });
    }
    let mut body = Vec::with_capacity(first_reserve(announced));
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| classify(&error, response.url()))? else {
            break;
        };
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    if announced.is_some_and(|length| length != body.len() as u64) {
        return Err(FetchError::Transfer {
            host: host_of(response.url()),
            reason: "the body is not as long as announced".to_owned(),
        });
    }
    // Many bodies wait for their decoder at once: what growing set aside is given back.
    body.shrink_to_fit();
    Ok(body.into())
}

fn first_reserve(announced: Option<u64>) -> usize {
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    announced.unwrap_or_default().min(FIRST_RESERVE)
}
